# The name of every output that evaluates to a derivation or a program, for `ci/nix check`: one name, one process. What
# another name implies is left out: an image or a virtual machine has its system in it, ci/budget.toml has one counted, and an
# image for the Raspberry Pi is the same one under both kinds of computers.
{ lib, self }:
let
  inherit (lib) attrNames concatMap;
  under =
    output: suffix:
    concatMap (
      system: map (name: "${output}.${system}.${name}${suffix}") (attrNames self.${output}.${system})
    ) (attrNames self.${output});
  implied = [
    "packages.x86_64-linux.default.drvPath"
    "packages.aarch64-linux.default.drvPath"
    "packages.x86_64-linux.raspberrypi.drvPath"
    "packages.x86_64-linux.raspberrypi5.drvPath"
  ]
  ++ map (name: "nixosConfigurations.${name}.config.system.build.toplevel.drvPath") [
    "digitalocean"
    "generic"
    "raspberrypi"
    "raspberrypi5"
    "vm"
    "vm-aarch64"
    "wsl"
    "wsl-aarch64"
  ];
  all =
    under "packages" ".drvPath"
    ++ under "devShells" ".drvPath"
    ++ under "checks" ".drvPath"
    ++ under "apps" ".program"
    ++ map (system: "formatter.${system}.drvPath") (attrNames self.formatter)
    ++ map (name: "nixosConfigurations.${name}.config.system.build.toplevel.drvPath") (
      attrNames self.nixosConfigurations
    )
    ++ map (name: "lib.examples.${name}") (attrNames self.lib.examples);
in
assert lib.assertMsg (
  lib.subtractLists all implied == [ ]
) "ci/eval/outputs.nix leaves out what there is not: ${toString (lib.subtractLists all implied)}";
lib.subtractLists implied all
