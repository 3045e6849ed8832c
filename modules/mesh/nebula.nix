# Nebula, for fleets that choose it (`e3 mesh nebula`): its daemon and the unit that the agent starts. Which network it
# joins, and with what, the fleet's head says.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.nebula;
in
{
  options.e3.mesh.nebula = {
    enable = lib.mkEnableOption "Nebula on this machine, for when its fleet chooses it as the mesh";
    anchorPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 4242;
      description = ''
        The UDP port on which the others reach this machine, if it is an anchor of its fleet's mesh
        (`e3 mesh nebula --anchor NAME=HOST:PORT`). It is opened in the firewall. null on all other machines.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = cfg.anchorPort == null || cfg.enable;
        message = "e3.mesh.nebula.anchorPort opens a port, and nobody listens there: set e3.mesh.nebula.enable = true; as well.";
      }
    ];
    e3.mesh.interfaces = lib.mkIf cfg.enable [ "e3nebula" ];
    networking.firewall.allowedUDPPorts = lib.optional (cfg.anchorPort != null) cfg.anchorPort;
  };
}
