# nixpkgs' make-ext4-fs.nix with the seed of directory hashes fixed: nixpkgs fixes UUID and clock, but mkfs.ext4 still
# draws this one at random, and two builds differ. The arguments are its own; `callPackage` wants to see them.
{
  pkgs,
  lib,
  storePaths,
  volumeLabel,
  compressImage ? false,
  populateImageCommands ? "",
  uuid ? "44444444-4444-4444-8888-888888888888",
  e2fsprogs,
  fakeroot,
  libfaketime,
  perl,
  zstd,
}:
let
  mkfs = pkgs.buildPackages.writeShellScriptBin "mkfs.ext4" ''
    exec ${lib.getBin e2fsprogs}/bin/mkfs.ext4 -E hash_seed=${uuid} "$@"
  '';
in
import (pkgs.path + "/nixos/lib/make-ext4-fs.nix") {
  inherit
    compressImage
    fakeroot
    lib
    libfaketime
    perl
    pkgs
    populateImageCommands
    storePaths
    uuid
    volumeLabel
    zstd
    ;
  e2fsprogs.bin = pkgs.buildPackages.symlinkJoin {
    name = "e2fsprogs-seeded";
    paths = [
      mkfs
      (lib.getBin e2fsprogs)
    ];
  };
}
