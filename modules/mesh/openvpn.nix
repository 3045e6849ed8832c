# OpenVPN, for fleets that choose it (`e3 mesh openvpn`): its daemon and the unit that the agent starts. Which network it joins,
# and with what, the fleet's head says.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.openvpn;
in
{
  options.e3.mesh.openvpn = {
    enable = lib.mkEnableOption "OpenVPN on this machine, for when its fleet chooses it as the mesh";
    anchorPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 443;
      description = ''
        The port on which the others reach this machine, if it is the anchor of its fleet's mesh
        (`e3 mesh openvpn --anchor NAME=HOST:PORT`): 443 for TCP, any other one for UDP. It is opened in the firewall. null on
        all other machines.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = cfg.anchorPort == null || cfg.enable;
        message = "e3.mesh.openvpn.anchorPort opens a port, and nobody listens there: set e3.mesh.openvpn.enable = true; as well.";
      }
    ];
    e3.mesh.interfaces = lib.mkIf cfg.enable [ "e3openvpn" ];
    networking.firewall = {
      allowedTCPPorts = lib.optional (cfg.anchorPort == 443) 443;
      allowedUDPPorts = lib.optional (cfg.anchorPort != null && cfg.anchorPort != 443) cfg.anchorPort;
    };
  };
}
