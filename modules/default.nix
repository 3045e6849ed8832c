# Everything that a machine of a fleet needs; nothing is on before `e3.agent.enable` or `e3.hub.enable` is set.
# The appliance base, for machines that do nothing else, is appliance.nix.
{
  imports = [
    ./agent.nix
    ./fleet.nix
    ./hub.nix
    ./join.nix
    ./limits.nix
    ./mesh
    ./mpyc
    ./trust.nix
  ];
}
