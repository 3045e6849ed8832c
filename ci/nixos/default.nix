# `nix flake check`: what a hosted CI with a binary cache and KVM builds and runs. One file per behaviour and per
# attack, each one virtual network: `owner`, with the owner's key and the hub, and the parties p0, p1, ... Computers of
# the other kind have no KVM at GitHub, so there are no virtual machines for those.
{
  pkgs,
  nixosModules,
  packages,
}:
let
  inherit (pkgs) lib;
  # What is in this folder besides tests.
  others = [
    "default.nix"
    "owner.nix"
    "party.nix"
  ];
  files = lib.filter (name: lib.hasSuffix ".nix" name && !lib.elem name others) (
    lib.attrNames (builtins.readDir ./.)
  );

  # Handed to each test: machines, and a script with the words of fleet.py.
  fleet = {
    machines =
      number:
      {
        owner = ./owner.nix;
      }
      // lib.genAttrs (lib.genList (n: "p${toString n}") number) (_: ./party.nix);
    script = text: builtins.readFile ./fleet.py + "\n" + text;
  };

  test =
    name:
    lib.nameValuePair "vm-${lib.removeSuffix ".nix" name}" (
      pkgs.testers.runNixOSTest {
        imports = [ (import (./. + "/${name}") { inherit fleet lib pkgs; }) ];
        extraBaseModules = {
          imports = [ nixosModules.default ];
          documentation.enable = false;
        };
        # What works takes seconds; what hangs must not take an hour.
        globalTimeout = 15 * 60;
      }
    );
in
{
  inherit (packages) e3 e3-agent mpyc;
}
// lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 (lib.listToAttrs (map test files))
