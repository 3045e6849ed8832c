# Development shells: `nix develop` for all of E3, `nix develop .#mpyc` for writing MPyC programs alone.
{ pkgs }:
let
  inherit (pkgs) lib;
  python = pkgs.python3.withPackages (ps: [
    ps.gmpy2
    ps.mpyc
    ps.numpy
    ps.uvloop
  ]);
in
{
  default = pkgs.mkShell {
    inputsFrom = [ pkgs.e3-agent ];
    packages = [
      python
      # The workspace.
      pkgs.cargo-deny
      pkgs.cargo-zigbuild
      pkgs.clippy
      pkgs.rust-analyzer
      pkgs.rustfmt
      pkgs.shellcheck
      # These files.
      pkgs.deadnix
      pkgs.nixfmt-rs
      pkgs.statix
      # Hosts: made, and deployed to.
      pkgs.colmena
      pkgs.doctl
      pkgs.opentofu
      # As it was done before E3, to compare with.
      pkgs.pssh
      # Machines on this computer.
      pkgs.podman
      pkgs.qemu
    ];
    # Tests start the agent's sessions with it.
    E3_PYTHON = lib.getExe python;
  };

  mpyc = pkgs.mkShell {
    packages = [
      python
      pkgs.e3
    ];
  };
}
