# A party in the tests: the appliance as images have it, without a mesh.
{ lib, ... }:
{
  imports = [ ../../modules/appliance.nix ];
  # The tests' driver has a way in of its own.
  networking.useNetworkd = false;
  # What is built here, whatever the fleet has released; one test is about that.
  e3.agent.settings.update = lib.mkDefault false;
  virtualisation.memorySize = 768;
}
