# The appliance in QEMU on the computer of whoever tries it: `nix run .#vm`, with a join file: E3_JOIN=e3.toml.
{ lib, modulesPath, ... }:
{
  imports = [ (modulesPath + "/virtualisation/qemu-vm.nix") ];

  virtualisation = {
    graphics = false;
    memorySize = 1024;
    cores = 2;
    # QEMU hands a file over as a credential of the system (SMBIOS): nothing of it is on a disk.
    qemu.options = [ "\${E3_JOIN:+-smbios type=11,path=$E3_CREDENTIALS}" ];
  };
  networking.hostName = lib.mkOverride 800 "e3-vm";
}
