# The mesh that parties meet on: one file per backend, each a thin layer over what NixOS has for it. Every backend
# adds its interface to `e3.mesh.interfaces`, which is where the agent can be reached. Nebula, Tailscale and WireGuard are
# set up by the agent itself (README.md); the others by the machine's owner, until the agent can.
{ config, lib, ... }:
let
  cfg = config.e3.mesh;
  clients = lib.filter (name: cfg.${name}.enable) [
    "tinc"
  ];
in
{
  imports = [
    ./headscale.nix
    ./nebula.nix
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

  config = lib.mkIf config.e3.agent.enable {
    warnings = lib.optional (lib.length clients > 1) ''
      e3.mesh has ${lib.concatStringsSep " and " clients} enabled. That works, but the agent tells the others the addresses of
      each; set e3.agent.settings.advertise to those of one of them.
    '';
  };
}
