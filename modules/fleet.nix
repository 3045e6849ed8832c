# The fleet, written down in the configuration instead of a join file: for machines whose owner builds their system.
# All of it may be read by everybody but the token, which stays a file on the machine and is used once.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.fleet;
  toml = import ./toml.nix { inherit lib; };
  name = types.strMatching "[a-z0-9][a-z0-9-]{0,62}";
  option =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };
  required = {
    inherit (cfg)
      name
      hub
      root
      party
      owner
      ;
  };
  missing = lib.attrNames (lib.filterAttrs (_: value: value == null) required);
  joinFile = "/etc/e3/e3.toml";
in
{
  options.e3.fleet = {
    enable = lib.mkEnableOption "joining the fleet that is described here, without a join file";
    name = option name "demo" "The fleet.";
    hub =
      option (types.strMatching "(https?|file)://.+") "https://hub.example.org"
        "Where signed documents are published.";
    hubCa =
      option types.str "-----BEGIN CERTIFICATE-----"
        "The certificate authority of the hub, as PEM, if it is not a public one.";
    root =
      option (types.strMatching "sha256:[0-9a-f]{64}") null
        "The digest of the fleet's first root: where trust begins.";
    party = option name "alice" "This machine's name in the fleet.";
    owner =
      option (types.strMatching "did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}") null
        "The key of the machine's owner.";
    tokenFile = option (types.strMatching "/.+") "/run/secrets/e3-token" ''
      A file on the machine with the one-time token that `e3 fleet invite` made. A machine that is a party already
      needs none.
    '';
  };

  config = lib.mkIf (config.e3.agent.enable && cfg.enable) {
    assertions = [
      {
        assertion = missing == [ ];
        message = ''
          e3.fleet.enable is set, and of the fleet these are missing: ${
            lib.concatMapStringsSep ", " (key: "e3.fleet.${key}") missing
          }.
          All of them are in the join file that `e3 fleet invite` writes.
        '';
      }
      {
        assertion = cfg.tokenFile == null || !lib.hasPrefix builtins.storeDir cfg.tokenFile;
        message = ''
          e3.fleet.tokenFile is in the store, which everybody on the machine can read. Name a file that is put on the
          machine by other means, as a string: tokenFile = "/run/secrets/e3-token";
        '';
      }
      {
        assertion = config.e3.join.files == null || lib.elem joinFile config.e3.join.files;
        message = "e3.fleet writes ${joinFile}, and e3.join.files does not name it: add it there, or use one of both.";
      }
    ];

    environment.etc."e3/fleet.toml".text = ''
      # Made by NixOS from the options in e3.fleet; e3-fleet.service makes the join file of it.
      ${toml {
        fleet = cfg.name;
        inherit (cfg) hub root owner;
        name = cfg.party;
        hub_ca = cfg.hubCa;
      }}'';

    # Once, on the first start: what lies there afterwards is the agent's, without the token.
    systemd.services.e3-fleet = {
      description = "E3 join file of the fleet in this system's configuration";
      wantedBy = [ "e3-agent.service" ];
      before = [
        "e3-agent.service"
        "e3-import.service"
      ];
      after = [ "systemd-tmpfiles-setup.service" ];
      unitConfig.ConditionPathExists = "!${joinFile}";
      serviceConfig = {
        Type = "oneshot";
        UMask = "0077";
        LoadCredential = lib.optional (cfg.tokenFile != null) "token:${cfg.tokenFile}";
        CapabilityBoundingSet = "CAP_CHOWN";
        NoNewPrivileges = true;
        ProtectSystem = "strict";
        ReadWritePaths = "/etc/e3";
        ProtectHome = true;
        PrivateNetwork = true;
        PrivateTmp = true;
        RestrictAddressFamilies = "AF_UNIX";
        SystemCallArchitectures = "native";
        SystemCallFilter = "@system-service";
      };
      script = ''
        new=$(mktemp /etc/e3/.e3.toml.XXXXXX)
        trap 'rm -f "$new"' EXIT
        cat /etc/e3/fleet.toml > "$new"
        ${lib.optionalString (cfg.tokenFile != null) ''
          token=$(tr -d '[:space:]' < "$CREDENTIALS_DIRECTORY/token")
          case $token in
          *[!A-Za-z0-9._=+/-]* | "")
            echo "${cfg.tokenFile} is not a token; make one with: e3 fleet invite ${cfg.party or ""}" >&2
            exit 1
            ;;
          esac
          printf 'token = "%s"\n' "$token" >> "$new"
        ''}
        chown e3:e3 "$new"
        sync "$new"
        mv -n "$new" ${joinFile}
      '';
    };
  };
}
