# `nix flake check`: what a hosted CI with a binary cache and KVM builds and runs. One file per behaviour and per
# attack, each one virtual network of machines. Machines of the other kind have no KVM there, so those have no
# virtual machines here either.
{
  pkgs,
  nixosModules,
  packages,
}:
let
  inherit (pkgs) lib;
  files = lib.filterAttrs (
    name: _: lib.hasSuffix ".nix" name && name != "default.nix" && name != "fleet.nix"
  ) (builtins.readDir ./.);
  run =
    name: _:
    lib.nameValuePair "vm-${lib.removeSuffix ".nix" name}" (
      pkgs.testers.runNixOSTest {
        imports = [ (./. + "/${name}") ];
        # The owner's computer, with the fleet and the hub; and what every machine of a test is.
        extraBaseModules.imports = [
          nixosModules.default
          ./fleet.nix
        ];
      }
    );
in
{
  inherit (packages) e3 e3-agent mpyc;
}
// lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 (lib.mapAttrs' run files)
