# The mesh that parties meet on: one file per backend, each a thin layer over what NixOS has for it. Every backend
# adds its interface to `e3.mesh.interfaces`, which is where the agent can be reached. All are set up by the agent itself
# (README.md).
{ lib, ... }:
{
  imports = [
    ./headscale.nix
    ./link.nix
    ./nebula.nix
    ./openvpn.nix
    ./tailscale.nix
    ./tinc.nix
    ./tor.nix
    ./wireguard.nix
  ];

  options.e3.mesh.interfaces = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    description = "The network interfaces on which the ports of the agent and of sessions are open.";
  };
}
