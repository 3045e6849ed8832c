# The name of every output that evaluates to a derivation or a program, for `ci/nix check`: one name, one process.
{ lib, self }:
let
  inherit (lib) attrNames concatMap;
  under =
    output: suffix:
    concatMap (
      system: map (name: "${output}.${system}.${name}${suffix}") (attrNames self.${output}.${system})
    ) (attrNames self.${output});
in
under "packages" ".drvPath"
++ under "devShells" ".drvPath"
++ under "checks" ".drvPath"
++ under "apps" ".program"
++ map (system: "formatter.${system}.drvPath") (attrNames self.formatter)
++ map (name: "nixosConfigurations.${name}.config.system.build.toplevel.drvPath") (
  attrNames self.nixosConfigurations
)
++ map (name: "lib.examples.${name}") (attrNames self.lib.examples)
