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
  relay = cfg.relay.enable;
  low = port < 1024 || relay && cfg.relay.port < 1024;
  host = if lib.hasInfix ":" cfg.relay.host then "[${cfg.relay.host}]" else cfg.relay.host;
  place = "${host}:${toString cfg.relay.port}";
  # As `e3 fleet new` chooses it: by the port of the hub's address, which is this one unless a proxy stands in front.
  beside =
    if port == 443 || port == 65535 then
      8443
    else if port < 1024 then
      443
    else
      port + 1;
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
        which is secret; and `keys/hub-tls`, which is the hub's own and the certificate authority of its relay. Keep the
        other keys elsewhere. Have the folder in `/var/lib/e3-hub`, which the service can write to.
      '';
    };
    listen = mkOption {
      type = types.strMatching ".+:[0-9]+";
      default = "[::]:8420";
      description = "Where to listen, as IP:PORT.";
    };
    page = mkOption {
      type = types.enum [
        "everyone"
        "owners"
        "off"
      ];
      default = "everyone";
      description = ''
        Who sees the fleet's page: everyone a summary and owners everything, once they have signed in with `e3 login`; only
        owners; or nobody, since there is none. What is signed can be read by everyone in any case.
      '';
    };
    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the ports of the hub and of its relay are open.";
    };
    relay = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = ''
          Whether the relay of the built-in mesh runs beside the hub, if the fleet's head names one there: in every fleet whose
          owner has chosen nothing else.
        '';
      };
      host = mkOption {
        type = types.nullOr (types.strMatching "[A-Za-z0-9.:-]+");
        default = null;
        example = "relay.example.org";
        description = ''
          The name or address by which machines reach it, for a fleet whose head does not name it yet (`e3 mesh link`). If null,
          the relay runs where the head names one at the hub's host.
        '';
      };
      port = mkOption {
        type = types.port;
        default = beside;
        defaultText = lib.literalMD "the one after the hub's";
        description = "Its TCP port, as the fleet's head names it. 443 passes where little else does.";
      };
      discoveryPort = mkOption {
        type = types.port;
        default = 7842;
        description = "The UDP port at which it tells machines what their addresses look like from outside.";
      };
      package = mkOption {
        type = types.package;
        default = config.e3.mesh.link.package;
        defaultText = lib.literalExpression "config.e3.mesh.link.package";
        description = "The program that is the relay.";
      };
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

    networking.firewall = lib.mkIf cfg.openFirewall {
      allowedTCPPorts = [ port ] ++ lib.optional relay cfg.relay.port;
      # The hub tells machines by UDP whether their networks let it out.
      allowedUDPPorts = [ port ] ++ lib.optional relay cfg.relay.discoveryPort;
    };

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
            "--page ${cfg.page}"
          ]
          ++ map (name: "--tls ${lib.escapeShellArg name}") cfg.tls.names
          ++ lib.optional given "--tls-cert %d/certificate --tls-key %d/key"
          ++ lib.optional (!relay) "--no-relay"
          ++ lib.optional (relay && cfg.relay.host != null) "--relay=${place}"
          ++ lib.optionals relay [
            "--relay-listen [::]:${toString cfg.relay.port}"
            "--relay-discovery ${toString cfg.relay.discoveryPort}"
            "--relay-program ${lib.getExe cfg.relay.package}"
          ]
        );
        Restart = "always";
        RestartSec = 1;
        Slice = "e3.slice";
        UMask = "0077";
        # For a port below 1024.
        AmbientCapabilities = lib.mkIf low "CAP_NET_BIND_SERVICE";
        CapabilityBoundingSet = lib.optionalString low "CAP_NET_BIND_SERVICE";
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
        # In a user namespace of its own it could not bind that port.
        PrivateUsers = !low;
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_UNIX"
        ]
        ++ lib.optional relay "AF_NETLINK";
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
