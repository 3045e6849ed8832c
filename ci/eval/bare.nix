# A bare minimal NixOS: what nixpkgs calls minimal, on a disk, with a boot loader. `ci/budget.toml` says how much more than
# this an appliance may be.
{ modulesPath, ... }:
{
  imports = [ (modulesPath + "/profiles/minimal.nix") ];

  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.grub.device = "nodev";
  system.stateVersion = "26.05";
}
