# tinc, for fleets that choose it (`e3 mesh tinc`): its daemon and the unit that the agent starts. Which network it joins, and
# with what, the fleet's head says.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.tinc;
in
{
  options.e3.mesh.tinc = {
    enable = lib.mkEnableOption "tinc on this machine, for when its fleet chooses it as the mesh";
    anchorPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 10655;
      description = ''
        The port, TCP and UDP, on which the others reach this machine, if it is an anchor of its fleet's mesh
        (`e3 mesh tinc --anchor NAME=HOST:PORT`). It is opened in the firewall. null on all other machines.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = cfg.anchorPort == null || cfg.enable;
        message = "e3.mesh.tinc.anchorPort opens a port, and nobody listens there: set e3.mesh.tinc.enable = true; as well.";
      }
    ];
    e3.mesh.interfaces = lib.mkIf cfg.enable [ "e3tinc" ];
    # It has tinc make the machine's key.
    systemd.services.e3-agent.path = lib.mkIf cfg.enable [ pkgs.tinc ];
    networking.firewall = {
      allowedTCPPorts = lib.optional (cfg.anchorPort != null) cfg.anchorPort;
      allowedUDPPorts = lib.optional (cfg.anchorPort != null) cfg.anchorPort;
    };
  };
}
