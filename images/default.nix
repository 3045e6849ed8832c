# Every image by its name, as the module that makes a machine of it; modules/appliance.nix is the base of all.
{ nixos-hardware, nixos-wsl }:
# A machine tells its fleet which it was made from (IMAGE_ID in /etc/os-release).
builtins.mapAttrs
  (
    name: image:
    { lib, ... }:
    {
      imports = [ image ];
      system.image.id = lib.mkDefault name;
    }
  )
  {
    digitalocean = ./digitalocean;
    generic = ./generic.nix;
    raspberrypi = ./raspberrypi/mainline.nix;
    raspberrypi5.imports = [
      nixos-hardware.nixosModules.raspberry-pi-5
      ./raspberrypi/pi5.nix
    ];
    vm = ./vm.nix;
    wsl.imports = [
      nixos-wsl.nixosModules.wsl
      ./wsl
    ];
  }
