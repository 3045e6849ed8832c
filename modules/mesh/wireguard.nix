# WireGuard, for fleets that choose it (`e3 mesh wireguard`): the unit that the agent starts, and its programs. Which network it
# joins, and with what, the fleet's head says.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.wireguard;
  isAnchor = cfg.anchorPort != null;
  # Since then the unit has its own device alone forward.
  forwardsByItself = lib.versionAtLeast config.boot.kernelPackages.kernel.version "6.17";
in
{
  options.e3.mesh.wireguard = {
    enable = lib.mkEnableOption "WireGuard on this machine, for when its fleet chooses it as the mesh";
    anchorPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 4242;
      description = ''
        The UDP port on which the others reach this machine, if it is an anchor of its fleet's mesh
        (`e3 mesh wireguard --anchor NAME=HOST:PORT`). It is opened in the firewall. On a kernel older than 6.17
        `net.ipv6.conf.all.forwarding` is set, too: the machine then forwards IPv6 between all of its networks, as far as its
        firewall lets it; from the mesh it never does. null on all other machines.
      '';
    };
  };

  config = {
    assertions = [
      {
        assertion = !isAnchor || cfg.enable;
        message = "e3.mesh.wireguard.anchorPort opens a port, and nobody listens there: set e3.mesh.wireguard.enable = true; as well.";
      }
    ];
    e3.mesh.interfaces = lib.mkIf cfg.enable [ "e3wireguard" ];
    networking.firewall.allowedUDPPorts = lib.optional isAnchor cfg.anchorPort;
    boot.kernel.sysctl = lib.mkIf (isAnchor && !forwardsByItself) {
      "net.ipv6.conf.all.forwarding" = lib.mkDefault true;
    };
  };
}
