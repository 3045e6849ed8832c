# The hub of a fleet: a folder of signed documents, and the process in front of it. It holds no owner's key: what it
# serves was signed elsewhere, so it can withhold, and never forge.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.e3.hub;
  port = lib.toInt (lib.last (lib.splitString ":" cfg.listen));
  given = cfg.tls.certificate != null || cfg.tls.key != null;
in
{
  options.e3.hub = {
    enable = lib.mkEnableOption "the hub of an E3 fleet";
    package = mkOption {
      type = types.package;
      default = pkgs.e3 or (pkgs.callPackage ../agent/package.nix { crate = "e3-cli"; });
      defaultText = lib.literalExpression "pkgs.e3";
      description = "The command `e3`, which has the hub in it.";
    };
    fleet = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/var/lib/e3-hub/demo";
      description = ''
        The fleet's folder on this machine, as `e3 fleet new` made it: `fleet.toml`, `head.json` and `root/`, nothing of
        which is secret. Keep the keys elsewhere.
      '';
    };
    listen = mkOption {
      type = types.strMatching ".+:[0-9]+";
      default = "[::]:8420";
      description = "Where to listen, as IP:PORT.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the hub's port is open.";
    };
    tls = {
      names = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "hub.example.org" ];
        description = "Serve TLS with a certificate authority of the hub's own, for these host names or addresses.";
      };
      certificate = mkOption {
        type = types.nullOr (types.strMatching "/.+");
        default = null;
        example = "/var/lib/acme/hub.example.org/fullchain.pem";
        description = "Serve TLS with this certificate chain (PEM), a file on the machine.";
      };
      key = mkOption {
        type = types.nullOr (types.strMatching "/.+");
        default = null;
        example = "/var/lib/acme/hub.example.org/key.pem";
        description = "The certificate's secret key (PEM), a file on the machine.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.fleet != null;
        message = ''
          e3.hub.enable is set, and e3.hub.fleet is not. Make the fleet with `e3 fleet new`, copy its folder to this
          machine, and name it: e3.hub.fleet = "/var/lib/e3-hub/demo";
        '';
      }
      {
        assertion = (cfg.tls.certificate == null) == (cfg.tls.key == null);
        message = "e3.hub.tls needs both `certificate` and `key`, or neither.";
      }
      {
        assertion = cfg.tls.names == [ ] || !given;
        message = "e3.hub.tls has a certificate of yours and names for one of the hub's own: keep one of both.";
      }
      {
        assertion = cfg.tls.key == null || !lib.hasPrefix builtins.storeDir cfg.tls.key;
        message = "e3.hub.tls.key is in the store, which everybody on the machine can read: name a file on the machine.";
      }
    ];

    networking.firewall.allowedTCPPorts = lib.optional cfg.openFirewall port;

    systemd.services.e3-hub = {
      description = "E3 hub";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      serviceConfig = {
        # An instance of its own user, whose folder is /var/lib/e3-hub.
        DynamicUser = true;
        StateDirectory = "e3-hub";
        StateDirectoryMode = "0700";
        LoadCredential = lib.optionals given [
          "certificate:${cfg.tls.certificate}"
          "key:${cfg.tls.key}"
        ];
        ExecStart = lib.concatStringsSep " " (
          [
            (lib.getExe cfg.package)
            "hub serve"
            "--fleet ${lib.escapeShellArg (toString cfg.fleet)}"
            "--dir /var/lib/e3-hub/store"
            "--listen ${lib.escapeShellArg cfg.listen}"
          ]
          ++ map (name: "--tls ${lib.escapeShellArg name}") cfg.tls.names
          ++ lib.optional given "--tls-cert %d/certificate --tls-key %d/key"
        );
        Restart = "always";
        RestartSec = 1;
        Slice = "e3.slice";
        UMask = "0077";
        CapabilityBoundingSet = "";
        NoNewPrivileges = true;
        ProtectSystem = "strict";
        ProtectHome = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectProc = "invisible";
        ProcSubset = "pid";
        PrivateDevices = true;
        PrivateTmp = true;
        PrivateUsers = true;
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_UNIX"
        ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = [
          "@system-service"
          "~@privileged @resources"
        ];
        SystemCallErrorNumber = "EPERM";
      };
      startLimitIntervalSec = 0;
    };
    environment.systemPackages = [ cfg.package ];
  };
}
