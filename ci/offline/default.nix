# The systems of our images, realised over Debian's programs: { digitalocean, raspberrypi, wsl } -> the system's toplevel; and
# `wsl-file`, which is made of the last.
# What is real in them: NixOS' module system, every module of ours, activation, units, users, settings. What is not: see
# farms.nix, and lab.nix for what is switched off.
{
  # A tree of nixpkgs, and one of E3.
  nixpkgs,
  e3,
  # The agent's binary.
  agent,
  # A tree of NixOS-WSL; without it there is no wsl.
  nixos-wsl ? null,
}:
let
  lib = import (nixpkgs + "/lib");
  pkgs = import nixpkgs {
    localSystem.system = "x86_64-linux";
    # nixpkgs' own environment for building with the tools of the system it runs on.
    stdenvStages =
      stages: import (nixpkgs + "/pkgs/stdenv/native") (removeAttrs stages [ "crossOverlays" ]);
    config.allowUnsupportedSystem = true;
    overlays = [
      (import (e3 + "/modules/overlay.nix"))
      (import ./farms.nix { inherit agent; })
    ];
  };
  system =
    modules:
    (import (nixpkgs + "/nixos/lib/eval-config.nix") {
      system = null;
      inherit lib;
      modules = [
        { nixpkgs.pkgs = pkgs; }
        (e3 + "/modules")
        (e3 + "/modules/appliance.nix")
        ./lab.nix
      ]
      ++ modules;
    }).config.system.build;
  toplevel = modules: (system modules).toplevel;
in
{
  digitalocean = toplevel [
    (e3 + "/images/digitalocean")
    ./digitalocean.nix
  ];
  raspberrypi = toplevel [
    (e3 + "/images/raspberrypi/mainline.nix")
    ./raspberrypi.nix
  ];
}
// lib.optionalAttrs (nixos-wsl != null) (
  let
    wsl = system [
      (nixos-wsl + "/modules")
      (e3 + "/images/wsl")
      ./wsl.nix
    ];
  in
  {
    wsl = wsl.toplevel;
    # The file that Windows installs, around that system.
    wsl-file = wsl.image;
  }
)
