# Where this machine finds its join file. The places of each kind of machine are in agent/dist/share/import; the
# importer, a unit of agent/dist, looks there at boot and whenever something changes, and brings what it finds to the agent.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.join;
  dist = ../agent/dist;
  places = dist + "/share/import";
  known =
    if lib.pathExists places then
      map (lib.removeSuffix ".toml") (lib.attrNames (builtins.readDir places))
    else
      [ ];
  # Without a place of its own a machine has what every system has.
  ofPlace =
    if cfg.place == null then
      lib.getAttrs [ "import" ] (lib.importTOML (dist + "/etc/e3/agent.toml"))
    else if lib.elem cfg.place known then
      lib.importTOML (places + "/${cfg.place}.toml")
    else
      throw "e3.join.place is `${cfg.place}`, which agent/dist/share/import has not; it has ${lib.concatStringsSep ", " known}";
in
{
  options.e3.join = {
    import = mkOption {
      type = types.bool;
      default = lib.pathExists (dist + "/systemd/e3-import.service");
      defaultText = lib.literalMD "whether agent/dist has the importer";
      description = "Whether join files are imported. Otherwise the agent looks for them by itself, in `files`.";
    };
    place = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "raspberrypi";
      description = "The kind of machine, a file in agent/dist/share/import: where its user can put a join file.";
    };
    sources = mkOption {
      type = types.listOf (types.attrsOf types.raw);
      default = [ ];
      example = [
        {
          kind = "file";
          path = "/mnt/usb/e3.toml";
        }
      ];
      description = "More places to look at, as `[[import]]` in agent/dist/etc/e3/agent.toml explains them.";
    };
    files = mkOption {
      type = types.nullOr (types.nonEmptyListOf (types.strMatching "/.+"));
      default = null;
      description = "Where the agent itself looks for a join file; its own default if null.";
    };
    sshKeys = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the ssh keys of a join file are written to /var/lib/e3-import/ssh/root. `e3.appliance.sshKeysFromJoin` sets this
        and tells sshd.
      '';
    };
    settings = mkOption {
      type = types.attrsOf types.raw;
      internal = true;
      readOnly = true;
      description = "What of this stands in agent.toml.";
      default =
        lib.optionalAttrs (cfg.files != null) { join = cfg.files; }
        // lib.optionalAttrs cfg.import (
          ofPlace
          // lib.optionalAttrs cfg.sshKeys { ssh = true; }
          // {
            import = ofPlace.import ++ cfg.sources;
          }
        );
    };
  };

  config = lib.mkIf config.e3.agent.enable {
    assertions = [
      {
        assertion = cfg.files == null || !lib.any (lib.hasPrefix builtins.storeDir) cfg.files;
        message = ''
          e3.join.files names a file in the store, which everybody on the machine can read, and a join file has a
          token in it. Name a file on the machine, as a string, or use e3.fleet with e3.fleet.tokenFile.
        '';
      }
      {
        assertion = lib.all (source: source ? kind) cfg.sources;
        message = ''e3.join.sources has a place without a `kind`; write it like { kind = "file"; path = "/mnt/usb/e3.toml"; }.'';
      }
    ];
  };
}
