# Where this machine finds its join file. The image says where its medium is; `e3-agent import` looks there, at boot and
# whenever something changes, and brings what it finds to the agent.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.join;
  given = lib.filterAttrs (_: value: value != null);
  optional =
    description:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      inherit description;
    };
  source = types.submodule {
    options = {
      kind = mkOption {
        type = types.enum [
          "credential"
          "environment"
          "file"
          "user-data"
        ];
        description = ''
          A systemd credential of this machine; a variable of the environment (containers); a file on a medium that its
          user can write to; user data that the cloud's own tools have fetched, which may be something else.
        '';
      };
      name = optional "The name of the credential or the variable.";
      path = optional "The file; a folder in the path may be `*`.";
      mount = optional "Where something has to be mounted for the file to be there.";
      field = optional "If user data are in a JSON object: the field.";
      burn = mkOption {
        type = types.nullOr types.bool;
        default = null;
        description = "Whether the secrets in a file are burnt after their first use; they are if null.";
      };
    };
  };
  mistaken = lib.filter (
    source:
    (source.path == null) != lib.elem source.kind [
      "credential"
      "environment"
    ]
  ) cfg.sources;
in
{
  options.e3.join = {
    import = mkOption {
      type = types.bool;
      # The importer is a unit of agent/dist like any.
      default = lib.pathExists ../agent/dist/systemd/e3-import.service;
      defaultText = lib.literalMD "whether agent/dist has the importer";
      description = "Whether join files are imported from {option}`e3.join.sources`. Otherwise only `files` count.";
    };
    sources = mkOption {
      type = types.listOf source;
      default = [ ];
      description = ''
        Where a join file may lie, in order. Every machine has the credential `e3.join` before these, and
        /etc/e3/e3.toml after them.
      '';
    };
    files = mkOption {
      type = types.nullOr (types.nonEmptyListOf (types.strMatching "/.+"));
      default = null;
      description = "Where the agent itself looks for a join file; its own default if null.";
    };
    wifi = mkOption {
      type = types.enum [
        "iwd"
        "network-manager"
        "none"
        "wpa-supplicant"
      ];
      default = "none";
      description = "For whom the wireless network in a join file is written down.";
    };
    settings = mkOption {
      type = types.attrsOf types.raw;
      internal = true;
      readOnly = true;
      description = "What of this stands in agent.toml.";
      default =
        given { join = cfg.files; }
        // lib.optionalAttrs cfg.import {
          import = map given cfg.sources;
          inherit (cfg) wifi;
        };
    };
  };

  config = lib.mkIf config.e3.agent.enable {
    e3.join.sources = lib.mkMerge [
      (lib.mkBefore [
        {
          kind = "credential";
          name = "e3.join";
        }
      ])
      (lib.mkAfter [
        {
          kind = "file";
          path = "/etc/e3/e3.toml";
        }
      ])
    ];
    assertions = [
      {
        assertion = cfg.files == null || !lib.any (lib.hasPrefix builtins.storeDir) cfg.files;
        message = ''
          e3.join.files names a file in the store, which everybody on the machine can read, and a join file has a
          token in it. Name a file on the machine, as a string, or use e3.fleet with e3.fleet.tokenFile.
        '';
      }
      {
        assertion = mistaken == [ ];
        message = "e3.join.sources: files and user data need a `path`, credentials and variables a `name` instead; look at ${builtins.toJSON (map given mistaken)}.";
      }
    ];
  };
}
