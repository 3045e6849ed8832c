# What `nix build .#NAME` makes: the programs, and each image by the name of what it is for. What is `released` has a limit
# and a promise in ci/budget.toml, and its `contents`: in an image they are packed, and Nix does not see them.
{ pkgs, configurations }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isx86_64;
  image =
    name:
    let
      inherit (configurations.${name}.config.system) build;
    in
    build.image // { contents = build.toplevel; };
  program = package: package // { contents = package; };
  own = name: if isx86_64 then name else "${name}-aarch64";
  variants = lib.mapAttrs (
    _: variant: variant // { contents = variant.passthru.config.system.build.toplevel; }
  ) configurations.${own "generic"}.config.system.build.images;
  mpycStore = configurations.${own "generic"}.config.e3.mpyc.store;
in
{
  other = {
    default = pkgs.e3;
    inherit (pkgs) e3-link;
    # The Python module for programs, and the wheels that sessions pin.
    mpyc = pkgs.python3Packages.mpyc;
  }
  // lib.mapAttrs' (
    version: lib.nameValuePair "mpyc-${lib.replaceStrings [ "." ] [ "_" ] version}"
  ) pkgs.mpyc-wheels;

  released = {
    e3 = program pkgs.e3;
    e3-agent = program pkgs.e3-agent;

    # On another kind of computer these need one that can build for aarch64.
    raspberrypi = image "raspberrypi";
    raspberrypi5 = image "raspberrypi5";

    wsl = image (own "wsl");
    container = pkgs.callPackage ./container.nix { inherit mpycStore; };
    inherit (variants) amazon iso;
    # Legacy boot is x86's alone.
    qemu = if isx86_64 then variants.qemu else variants.qemu-efi;
  }
  // lib.optionalAttrs isx86_64 {
    # DigitalOcean and Proxmox have no machines of another kind.
    digitalocean = image "digitalocean";
    inherit (variants) proxmox;
  };
}
