# Tailscale's daemon, for fleets that choose Headscale or Tailscale (`e3 mesh headscale`, `e3 mesh tailscale`): the program and
# the unit that the agent starts. Which network it joins, and with what, the fleet's head and its hub say.
{ config, lib, ... }:
let
  cfg = config.e3.mesh.tailscale;
in
{
  options.e3.mesh.tailscale.enable =
    lib.mkEnableOption "Tailscale's daemon on this machine, for when its fleet chooses Headscale or Tailscale as the mesh";

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = !config.services.tailscale.enable;
        message = "e3.mesh.tailscale and services.tailscale both run Tailscale's daemon, and their routes are in each other's way: leave out one of them.";
      }
    ];
    e3.mesh.interfaces = [ "e3tailscale" ];
  };
}
