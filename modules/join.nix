# Where this machine finds its join file. The image says where its medium is (`e3.join.sources`); `e3-import` of
# agent/dist looks there, and leaves what it finds at /etc/e3/e3.toml for the agent.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.join;
  source = types.submodule {
    options = {
      kind = mkOption {
        type = types.enum [
          "credential"
          "file"
          "user-data"
          "nocloud"
          "windows"
          "environment"
        ];
        description = ''
          What it is: a systemd credential of the system; a file on a mounted medium; the user data that the cloud
          answers with; a cloud-init NoCloud disk; the Windows side of WSL; a variable of a container's environment.
        '';
      };
      path = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "The file, the address, the credential's or the variable's name; null if the kind needs none.";
      };
      burn = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the token is taken out of the medium after its import, if the medium can be written.";
      };
    };
  };
in
{
  options.e3.join = {
    files = mkOption {
      type = types.nonEmptyListOf (types.strMatching "/.+");
      default = [ "/etc/e3/e3.toml" ];
      description = "Where the agent itself looks for a join file; the first that is there counts.";
    };
    sources = mkOption {
      type = types.listOf source;
      default = [ ];
      description = "Where else a join file may lie on this kind of machine, in order.";
    };
  };

  config = lib.mkIf config.e3.agent.enable {
    # The credential comes first, whatever the image (systemd.system-credentials(7)).
    e3.join.sources = lib.mkBefore [
      {
        kind = "credential";
        path = "e3.join";
        burn = false;
      }
    ];
    assertions = [
      {
        assertion = !lib.any (lib.hasPrefix builtins.storeDir) cfg.files;
        message = ''
          e3.join.files names a file in the store, which everybody on the machine can read, and a join file has a
          token in it. Name a file on the machine, as a string, or use e3.fleet with e3.fleet.tokenFile.
        '';
      }
    ];
  };
}
