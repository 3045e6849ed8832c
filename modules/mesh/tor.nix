# Tor, for fleets that choose it (`e3 mesh tor`): its program and the unit that the agent starts. Who is let in, the fleet's head
# says. It needs no interface and no open port.
{ lib, ... }:
{
  options.e3.mesh.tor.enable =
    lib.mkEnableOption "Tor on this machine, for when its fleet chooses it as the mesh";
}
