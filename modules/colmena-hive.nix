# The output `colmenaHive` that colmena from 0.5 on reads, from a raw hive. Colmena's own flake has a function for this,
# which would be a fourth input for some lines; the options of `deployment` are those that E3's hives set, and
# colmena's defaults for the rest.
{ lib, nixpkgs }:
hive:
let
  inherit (lib) mkOption types;
  option =
    type: default: description:
    mkOption { inherit type default description; };

  deployment =
    { name, ... }:
    {
      options.deployment = {
        targetHost = option (types.nullOr types.str) name "Where ssh finds the machine.";
        targetPort = option (types.nullOr types.port) null "The port of ssh.";
        targetUser = option (types.nullOr types.str) "root" "Who logs in.";
        tags = option (types.listOf types.str) [ ] "For `colmena apply --on @tag`.";
        allowLocalDeployment = option types.bool false "Whether `colmena apply-local` may be used.";
        buildOnTarget = option types.bool false "Whether the machine builds its system itself.";
        replaceUnknownProfiles =
          option types.bool true
            "Whether a system that this hive does not know is replaced.";
        privilegeEscalationCommand = option (types.listOf types.str) [
          "sudo"
          "-H"
          "--"
        ] "How another user than root becomes root.";
        sshOptions = option (types.listOf types.str) [ ] "More options for ssh.";
        # E3's secrets are made on the machine, or come with its join file.
        keys = option (types.attrsOf types.raw) { } "Files to copy to the machine; E3 uses none.";
      };
    };

  names = lib.attrNames (removeAttrs hive [ "meta" ]);
  nodes = lib.genAttrs names (
    name:
    lib.nixosSystem {
      specialArgs = {
        inherit name nodes;
      };
      modules = [
        deployment
        hive.${name}
        { nixpkgs.pkgs = hive.meta.nodeNixpkgs.${name} or hive.meta.nixpkgs; }
      ];
    }
  );
  select = chosen: lib.filterAttrs (name: _: lib.elem name chosen);
  toplevel = lib.mapAttrs (_: node: node.config.system.build.toplevel) nodes;
  deploymentConfig = lib.mapAttrs (_: node: node.config.deployment) nodes;
in
{
  __schema = "v0.5";
  inherit nodes toplevel deploymentConfig;
  deploymentConfigSelected = chosen: select chosen deploymentConfig;
  evalSelected = chosen: select chosen toplevel;
  evalSelectedDrvPaths = chosen: lib.mapAttrs (_: system: system.drvPath) (select chosen toplevel);
  metaConfig = {
    name = "e3";
    description = "Machines of an E3 fleet";
    machinesFile = null;
    allowApplyAll = true;
  };
  introspect =
    f:
    f {
      inherit lib nodes;
      pkgs = hive.meta.nixpkgs or nixpkgs;
    };
}
