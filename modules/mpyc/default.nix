# What sessions run on: the Python, and the MPyC versions that come with the image, each by the hash of its wheel.
# A version that is not here is fetched by the agent, by the hash that its manifest pins.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mpyc;
  # Where the versions are set, for a message; a module that is written where it is used has no file.
  files = lib.filter (file: file != "<unknown-file>") (map toString options.e3.mpyc.versions.files);
  known = import ./hashes.nix // cfg.hashes;
  unknown = lib.filter (version: !(known ? ${version})) cfg.versions;
  wheel =
    version:
    pkgs.callPackage ./wheel.nix {
      inherit version;
      hash = known.${version} or lib.fakeHash;
    };
in
{
  options.e3.mpyc = {
    versions = mkOption {
      type = types.listOf (types.strMatching "[0-9]+([.][0-9]+)*");
      default = [ "0.11" ];
      example = [
        "0.11"
        "0.10"
      ];
      description = "The MPyC versions to put into the image.";
    };
    hashes = mkOption {
      type = types.attrsOf (types.strMatching "sha256-[A-Za-z0-9+/]{43}=");
      default = { };
      example."0.12" = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
      description = "The wheels' hashes of versions that E3 does not know by itself.";
    };
    python = mkOption {
      type = types.package;
      default = pkgs.python3;
      defaultText = lib.literalExpression "pkgs.python3";
      description = "The Python. All parties of a session need the same minor version.";
    };
    modules = mkOption {
      type = types.functionTo (types.listOf types.package);
      default = ps: [
        ps.gmpy2
        ps.numpy
        ps.uvloop
      ];
      defaultText = lib.literalExpression "ps: [ ps.gmpy2 ps.numpy ps.uvloop ]";
      description = "The Python modules that sessions find. MPyC uses these when they are there.";
    };
    interpreter = mkOption {
      type = types.package;
      readOnly = true;
      description = "The Python with its modules.";
    };
    wheels = mkOption {
      type = types.attrsOf types.package;
      internal = true;
      description = "The wheels, by version.";
    };
    store = mkOption {
      type = types.nullOr types.package;
      readOnly = true;
      description = "A store of the agent's form: the wheels, each named by its SHA-256. null if there is none.";
    };
  };

  config = {
    e3.mpyc = {
      interpreter = cfg.python.withPackages cfg.modules;
      wheels = lib.genAttrs cfg.versions wheel;
      # Copies, not links: the agent takes no file for a blob that is none.
      store =
        if cfg.versions == [ ] then
          null
        else
          pkgs.runCommand "e3-mpyc" { } ''
            mkdir $out
            ${lib.concatMapStrings (wheel: "cp ${wheel} $out/${wheel.digest}\n") (lib.attrValues cfg.wheels)}
          '';
    };
    assertions = lib.optionals config.e3.agent.enable [
      {
        assertion = unknown == [ ];
        message = ''
          e3.mpyc.versions${
            lib.optionalString (files != [ ]) " (in ${lib.concatStringsSep ", " files})"
          } names ${lib.concatStringsSep ", " unknown}, of which no hash is known (known: ${lib.concatStringsSep ", " (lib.attrNames known)}).
          Add the hash of each wheel, which
            nix store prefetch-file https://files.pythonhosted.org/packages/py3/m/mpyc/mpyc-VERSION-py3-none-any.whl
          prints, as e3.mpyc.hashes."VERSION" = "sha256-...";
        '';
      }
      {
        assertion = lib.allUnique cfg.versions;
        message = "e3.mpyc.versions names a version twice: remove one.";
      }
    ];
  };
}
