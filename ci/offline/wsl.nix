# NixOS-WSL's own helpers are Rust. These stand in for what runs on every start of a shell; `systemd-shim`, which is how
# Windows starts the system, has none: the lab starts it as every other one.
{ lib, ... }:
{
  system.build.nativeUtils = lib.mkForce (derivation {
    name = "nixos-wsl-utils-stand-in";
    system = "x86_64-linux";
    builder = "/bin/bash";
    args = [
      "-e"
      (builtins.toFile "utils.sh" ''
        export PATH=/usr/bin
        mkdir -p $out/bin
        printf '#!/usr/bin/bash\nexec "$(dirname "$0")/shell" "$@"\n' > $out/bin/shell-wrapper
        printf '#!/usr/bin/bash\n' > $out/bin/split-path
        chmod 555 $out/bin/*
      '')
    ];
  });
}
