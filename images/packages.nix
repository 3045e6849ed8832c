# What `nix build .#NAME` makes: the programs, and each image by the name of what it is for.
{ pkgs, configurations }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isx86_64;
  image = name: configurations.${name}.config.system.build.image;
  own = name: if isx86_64 then name else "${name}-aarch64";
  variants = configurations.${own "generic"}.config.system.build.images;
  mpycStore = configurations.${own "generic"}.config.e3.mpyc.store;
in
{
  default = pkgs.e3;
  inherit (pkgs) e3 e3-agent;

  # The Python module for programs, and the wheels that sessions pin.
  mpyc = pkgs.python3Packages.mpyc;

  # On another kind of computer these need one that can build for aarch64.
  raspberrypi = image "raspberrypi";
  raspberrypi5 = image "raspberrypi5";

  wsl = image (own "wsl");
  container = pkgs.callPackage ./container.nix { inherit mpycStore; };
  inherit (variants) amazon iso;
  # Legacy boot is x86's alone.
  qemu = if isx86_64 then variants.qemu else variants.qemu-efi;
}
// lib.mapAttrs' (
  version: lib.nameValuePair "mpyc-${lib.replaceStrings [ "." ] [ "_" ] version}"
) pkgs.mpyc-wheels
// lib.optionalAttrs isx86_64 {
  # DigitalOcean and Proxmox have no machines of another kind.
  digitalocean = image "digitalocean";
  inherit (variants) proxmox;
}
