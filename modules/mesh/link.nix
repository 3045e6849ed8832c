# The built-in mesh, which a fleet has that chooses no other one: its daemon and the unit that the agent starts. What it joins,
# and with what, the fleet's head says. It needs no interface and no open port.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.link;
in
{
  options.e3.mesh.link = {
    enable = lib.mkEnableOption "the built-in mesh on this machine, which a fleet has that chooses no other one";
    package = mkOption {
      type = types.package;
      default = pkgs.e3-link or (pkgs.callPackage ../../agent/package.nix { crate = "e3-link"; });
      defaultText = lib.literalExpression "pkgs.e3-link";
      description = "The built-in mesh and its relay.";
    };
    anchorPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 4242;
      description = ''
        The UDP port on which the others reach this machine, if it is an anchor of its fleet's mesh
        (`e3 mesh link --anchor NAME=IP:PORT`). It is opened in the firewall. null on all other machines.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = cfg.anchorPort == null || cfg.enable;
        message = "e3.mesh.link.anchorPort opens a port, and nobody listens there: set e3.mesh.link.enable = true; as well.";
      }
    ];
    networking.firewall.allowedUDPPorts = lib.optional (cfg.anchorPort != null) cfg.anchorPort;
  };
}
