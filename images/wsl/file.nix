# `e3.wsl`, without root and without a clock. Upstream's builder is a script that installs into a changed root as root,
# and stamps times into the archive and into the store's database. But WSL starts /sbin/init, which is NixOS-WSL's
# shim: it activates the system at every start, so the archive needs no more than the closure and what the shim and
# WSL look at before.
{
  lib,
  runCommand,
  writeText,
  buildPackages,
  stdenv,
  toplevel,
  shim,
  # Links in /bin: { name, src, copy }.
  extraBin,
  wslConf,
  # { name, uid }
  user,
}:
let
  closure = buildPackages.closureInfo { rootPaths = [ toplevel ]; };
  # What `wsl --install --from-file` and a double click read.
  distribution = writeText "wsl-distribution.conf" (
    lib.generators.toINI { } {
      oobe = {
        defaultName = "E3";
        defaultUid = user.uid;
      };
      shortcut.enabled = false;
      windowsterminal.enabled = true;
    }
  );
  # WSL looks users up before the first activation has made them.
  passwd = writeText "passwd" ''
    root:x:0:0:System administrator:/root:/run/current-system/sw/bin/bash
    ${user.name}:x:${toString user.uid}:100::/home/${user.name}:/run/current-system/sw/bin/bash
  '';
  group = writeText "group" ''
    root:x:0:
    wheel:x:1:${user.name}
    users:x:100:
  '';

  skeleton =
    runCommand "e3-wsl-skeleton"
      {
        nativeBuildInputs = [
          buildPackages.nix
          buildPackages.sqlite
        ];
      }
      ''
        mkdir -p $out/{bin,dev,etc,home,proc,root,run,sys,tmp,usr,var/lib,nix/var/nix/{profiles,gcroots,db}}
        ln -s bin $out/sbin
        ${lib.concatMapStrings (
          entry: "${if entry.copy then "cp" else "ln -s"} ${entry.src} $out/bin/${entry.name}\n"
        ) extraBin}
        ln -s ${shim} $out/bin/init
        cp ${passwd} $out/etc/passwd
        cp ${group} $out/etc/group
        touch $out/etc/NIXOS
        cp ${wslConf} $out/etc/wsl.conf
        cp ${distribution} $out/etc/wsl-distribution.conf
        ln -s system-1-link $out/nix/var/nix/profiles/system
        ln -s ${toplevel} $out/nix/var/nix/profiles/system-1-link
        ln -s /nix/var/nix/profiles $out/nix/var/nix/gcroots/profiles

        # Leak: the database remembers when each path was registered.
        export NIX_STATE_DIR=$out/nix/var/nix NIX_REMOTE=
        nix-store --load-db < ${closure}/registration
        sqlite3 $out/nix/var/nix/db/db.sqlite \
          "PRAGMA journal_mode = DELETE; UPDATE ValidPaths SET registrationTime = 1; VACUUM;"
        rm -rf $out/nix/var/nix/{temproots,userpool,daemon-socket} $out/nix/var/nix/db/{reserved,big-lock}
        # Leak: made when it runs, and the same for everybody if it were made here.
        test ! -e $out/etc/machine-id
      '';
in
runCommand "e3-wsl-${stdenv.hostPlatform.system}"
  {
    __structuredAttrs = true;
    # The archive has everything in it: the output refers to nothing.
    unsafeDiscardReferences.out = true;
    nativeBuildInputs = [ buildPackages.gzip ];
    passthru = {
      inherit skeleton;
      filePath = "e3.wsl";
    };
  }
  ''
    mkdir -p $out
    same=(--sort=name --mtime=@1 --format=gnu --owner=0 --group=0 --numeric-owner --hard-dereference)
    # The store keeps the skeleton read-only; on the machine it has to be writable.
    tar "''${same[@]}" --mode=u+w -C ${skeleton} -cf image.tar .
    # Store paths keep their modes. flags=r: a link's target is not a name, and stays.
    sed 's,^/,,' ${closure}/store-paths | sort > paths
    tar "''${same[@]}" --transform='flags=r;s,^,./,' -C / --files-from="$PWD/paths" -rf image.tar
    # Leak: gzip's header has a name and a time in it without -n.
    gzip -9n < image.tar > $out/e3.wsl
  ''
