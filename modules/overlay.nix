# E3's packages in a package set of nixpkgs.
final: prev:
let
  hashes = import ./mpyc/hashes.nix;
in
{
  # The machine's daemon, and the owner's command.
  e3-agent = final.callPackage ../agent/package.nix { crate = "e3-agent"; };
  # The built-in mesh and its relay.
  e3-link = final.callPackage ../agent/package.nix { crate = "e3-link"; };
  e3 = final.callPackage ../agent/package.nix { crate = "e3-cli"; };

  # MPyC's wheels, by version.
  mpyc-wheels = final.lib.mapAttrs (
    version: hash: final.callPackage ./mpyc/wheel.nix { inherit version hash; }
  ) hashes;

  pythonPackagesExtensions = prev.pythonPackagesExtensions ++ [
    (python: _: {
      mpyc = python.callPackage ./mpyc/package.nix { wheel = final.mpyc-wheels."0.11"; };
    })
  ];
}
