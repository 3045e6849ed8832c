# nixpkgs' compiled packages as folders of links to Debian's programs, so that a NixOS system can be realised where
# there is no binary cache. Each has only the programs that NixOS asks it for. A program that Debian has not got is a link
# that leads nowhere: whoever runs it fails, loudly.
{
  # The agent's binary, a file in the store.
  agent,
}:
final: prev:
let
  inherit (prev) lib;

  words =
    text:
    lib.filter (word: word != "") (lib.splitString " " (lib.replaceStrings [ "\n" ] [ " " ] text));

  # Made without any of nixpkgs' own tools, which are links to these very programs.
  raw =
    name: script:
    derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/bash";
      args = [
        "-e"
        (builtins.toFile "farm.sh" ("export PATH=/usr/bin:/usr/sbin\n" + script))
      ];
    };

  outputNames = ''
    bin data debug dev dist doc info kmod lastlog lib libs login man modules mount pinentry sftpPlugin static
    su swap tools
  '';

  # Looks like a package of nixpkgs to those who use it: every output is the same folder.
  farm =
    pname: version: attributes: script:
    let
      made = raw "${pname}-${version}" script;
      outputs = lib.genAttrs (words outputNames) (_: self);
      self =
        made
        // outputs
        // {
          inherit pname version;
          type = "derivation";
          meta = {
            mainProgram = pname;
            priority = 5;
            outputsToInstall = [ "out" ];
          };
          passthru = { };
          out = self;
          outputs = [ "out" ];
          outputName = "out";
          outputSpecified = false;
          getOutput = _: self;
          override = _: self;
          overrideAttrs = _: self;
          overrideDerivation = _: self;
        }
        // attributes;
    in
    self;

  link = programs: ''
    mkdir -p $out/bin
    ln -s bin $out/sbin
    for program in ${toString (words programs)}; do
      ln -s "$(command -v $program || echo /usr/bin/$program)" $out/bin/$program
    done
  '';

  # Package -> its programs, the main one first.
  programs = {
    acl = "getfacl setfacl";
    attr = "getfattr";
    bzip2 = "bzip2";
    cpio = "cpio";
    curl = "curl";
    dash = "dash";
    diffutils = "diff cmp";
    dosfstools = "mkfs.vfat fsck.vfat";
    e2fsprogs = "mkfs.ext4 fsck.ext4 resize2fs tune2fs chattr";
    file = "file";
    findutils = "find xargs";
    gawk = "gawk awk";
    getent = "getent";
    gettext = "gettext";
    gnugrep = "grep egrep fgrep";
    gnumake = "make";
    gnused = "sed";
    gnutar = "tar";
    gzip = "gzip gunzip zcat";
    hostname = "hostname";
    hostname-debian = "hostname";
    iproute2 = "ip ss tc bridge";
    iptables = "iptables ip6tables iptables-save iptables-restore ip6tables-restore";
    iputils = "ping";
    jq = "jq";
    kbd = "loadkeys setfont";
    kmod = "modprobe lsmod insmod depmod";
    less = "less";
    libcap = "setcap getcap";
    libxml2 = "xmllint";
    libxslt = "xsltproc";
    lndir = "lndir";
    mkpasswd = "mkpasswd";
    nano = "nano";
    ncurses = "clear tput infocmp";
    net-tools = "hostname";
    nftables = "nft";
    nix = "nix nix-store nix-env";
    openssh = "ssh sshd ssh-keygen";
    patch = "patch";
    patchelf = "patchelf";
    procps = "ps sysctl pgrep pkill free top kill";
    rsync = "rsync";
    sqlite = "sqlite3";
    sudo = "sudo";
    sysctl = "sysctl";
    texinfo = "install-info";
    texinfoInteractive = "install-info";
    time = "time";
    util-linuxMinimal = "mount umount";
    which = "which";
    xz = "xz unxz";
    zstd = "zstd";
  };

  # Asked for by name, never run here: parts of other desktops, kernels, shells and disks.
  unused = words ''
    bash-completion bind btrfs-progs buildcatrust busybox cracklib cryptsetup cyrus_sasl dbus-broker dhcpcd e3-link
    fish fuse fuse3 gixy gnupg gnutls kexec-tools lvm2 makeInitrdNGTool man-db mdadm nebula nix-bash-completions
    nixos-enter nixos-init nixos-install nixos-option nixos-rebuild-ng nscd nsncd openresolv openvpn pinentry rlwrap
    rpcbind strace su switch-to-configuration-ng tailscale tinc tor tpm2-tss userborn wget wireguard-go wireguard-tools xauth
    xfsprogs xonsh zsh
  '';

  # What NixOS asks systemd's package whether it can do.
  systemdHas = words ''
    Firstboot Hostnamed Localed Logind Networkd Nss Timedated Timesyncd UserDb Utmp
  '';
  systemdHasNot = words ''
    Acl Analyze Apparmor Audit Bootctl Bootloader Compression Coredump Cryptsetup Documentation Efi Fido2
    Gcrypt Homed Hwdb Imds Importd KernelInstall Kexectools Kmod LibBPF Libarchive Libidn2 Libseccomp
    LogTrace Machined Mountfsd Mute Nspawn Nsresource Oomd OpenSSL PCRE2 Pam PasswordQuality Polkit Portabled
    Qrencode Remote Repart Reportd Resolved Selinux ShellCompletions Storagetm Sysinstall Sysupdate Sysusers
    Tests Tpm2Tss Tpm2Units Ukify VConsole Vmspawn
  '';
in
lib.mapAttrs (
  name: list:
  farm name "debian" {
    meta = {
      mainProgram = lib.head (words list);
      priority = 5;
      outputsToInstall = [ "out" ];
    };
  } (link list)
) programs
// lib.genAttrs unused (name: farm name "unused" { } (link ""))
// {
  # What is under test, as it is.
  e3-agent = farm "e3-agent" "lab" { } ''
    mkdir -p $out/bin
    ln -s ${agent} $out/bin/e3-agent
  '';

  bash = farm "bash" "5.2" {
    shellPath = "/bin/bash";
    interactive = true;
  } (link "bash sh");
  bashNonInteractive = final.bash;
  bashInteractive = final.bash;
  runtimeShellPackage = final.bash;
  runtimeShell = "/usr/bin/bash";

  coreutils = farm "coreutils" "9.7" { } (link ''
    basename cat chgrp chmod chown chroot comm cp cut date df dirname du echo env expr false head id
    install join ln ls md5sum mkdir mknod mktemp mv nice nohup nproc od paste printf readlink realpath
    rm rmdir seq sha256sum sleep sort stat stty sync tail tee test timeout touch tr true uname uniq wc
    who
  '');
  coreutils-full = final.coreutils;

  shadow = farm "shadow" "4.17" { shellPath = "/usr/sbin/nologin"; } (
    link "useradd usermod login su nologin passwd chpasswd newgrp sg"
  );

  util-linux = farm "util-linux" "2.41" { } (
    ''
      mkdir -p $out/lib/tmpfiles.d
      touch $out/lib/tmpfiles.d/util-linux.conf
    ''
    + link ''
      agetty blkid dmesg findmnt flock fsck getopt hexdump hwclock kill logger login losetup lsblk lscpu
      mount mountpoint nologin nsenter runuser setpriv setsid sfdisk su swapoff swapon umount unshare
    ''
  );

  # Debian's, with a unit that does nothing for each that NixOS links to and Debian's older systemd has not.
  systemd =
    farm "systemd" "257"
      (
        {
          interfaceVersion = 2;
          tests = { };
          inherit (final) kbd kmod util-linux;
        }
        // lib.genAttrs (map (part: "with${part}") systemdHas) (_: true)
        // lib.genAttrs (map (part: "with${part}") systemdHasNot) (_: false)
      )
      ''
        mkdir -p $out/example/systemd $out/share
        for folder in bin sbin lib; do ln -s /usr/$folder $out/$folder; done
        # A machine's own /usr/lib/systemd has no unit: every one comes from NixOS.
        cp -a /usr/lib/systemd/system /usr/lib/systemd/user $out/example/systemd/
        for folder in sysctl.d tmpfiles.d sysusers.d modprobe.d; do cp -a /usr/lib/$folder $out/example/$folder; done
        for folder in dbus-1 polkit-1 factory; do ln -s /usr/share/$folder $out/share/$folder; done
        units=$out/example/systemd/system
        while read -r unit; do
          [ ! -e "$units/$unit" ] || continue
          printf '[Unit]\nDescription=Not in this systemd: %s\nConditionPathExists=/nonexistent\n' "$unit" > "$units/$unit"
          case $unit in
          *.service) printf '[Service]\nType=oneshot\nExecStart=/bin/true\n' ;;
          *.socket) printf '[Socket]\nListenStream=/run/missing-%s\n' "$unit" ;;
          esac >> "$units/$unit"
        done < ${./missing-units}
        mkdir -p $units/factory-reset.target.wants
        ln -sf ../basic.target $units/factory-reset.target.wants/basic.target
      '';
  systemdMinimal = final.systemd;
  systemdLibs = final.systemd;
  udev = final.systemd;

  dbus = farm "dbus" "1.16" { libexecdir = ""; } ''
    mkdir -p $out/share $out/etc
    ln -s /usr/bin $out/bin
    ln -s /usr/libexec $out/libexec
    for kind in system user; do
      mkdir -p $out/lib/systemd/$kind
      for unit in /usr/lib/systemd/$kind/dbus.s*; do [ ! -e "$unit" ] || cp "$unit" $out/lib/systemd/$kind/; done
    done
    ln -s /usr/share/dbus-1 $out/share/dbus-1
    ln -s /usr/share/xml $out/share/xml
  '';

  polkit = farm "polkit" "126" { } ''
    mkdir -p $out/share $out/lib/systemd/system
    ln -s /usr/bin $out/bin
    ln -s /usr/lib/polkit-1 $out/lib/polkit-1
    for folder in polkit-1 dbus-1; do ln -s /usr/share/$folder $out/share/$folder; done
    cp /usr/lib/systemd/system/polkit.service $out/lib/systemd/system/
  '';

  glibc = farm "glibc" "2.41" { } ("mkdir -p $out/lib $out/etc\n" + link "getent ldd locale iconv");
  glibcLocales = farm "glibc-locales" "2.41" { } "mkdir -p $out/lib/locale\n";
  stdenv = prev.stdenv // {
    cc = prev.stdenv.cc // {
      libc = final.glibc;
    };
  };
  tzdata = farm "tzdata" "debian" { } ''
    mkdir -p $out/share
    ln -s /usr/share/zoneinfo $out/share/zoneinfo
  '';
  cacert =
    farm "cacert" "debian"
      {
        hashed = final.cacert;
        unbundled = final.cacert;
        p11kit = final.cacert;
      }
      ''
        mkdir -p $out/etc/ssl/certs
        for name in ca-bundle ca-no-trust-rules-bundle; do
          cp /etc/ssl/certs/ca-certificates.crt $out/etc/ssl/certs/$name.crt
        done
        touch $out/etc/ssl/trust-source
      '';
  iana-etc = farm "iana-etc" "debian" { } ''
    mkdir -p $out/etc
    touch $out/etc/protocols $out/etc/services
  '';
  linux-pam = farm "linux-pam" "1.7" { } (
    ''
      mkdir -p $out/lib
      ln -s /usr/lib/x86_64-linux-gnu/security $out/lib/security
    ''
    + link "unix_chkpwd mkhomedir_helper"
  );
  pam = final.linux-pam;

  perl = farm "perl" "5.40" {
    withPackages = _: final.perl;
    pkgs = { };
    interpreter = "/usr/bin/perl";
    libPrefix = "lib/perl5";
  } (link "perl");
  perl5 = final.perl;

  shellcheck = farm "shellcheck" "unused" { compiler.bootstrapAvailable = false; } (link "");
  shellcheck-minimal = final.shellcheck;

  # Sessions run on it: Debian's, with Debian's numpy, gmpy2 and uvloop.
  python3 = farm "python3" "3.13" {
    isPy3k = false;
    isPy3 = true;
    pythonVersion = "3.13";
    interpreter = "/usr/bin/python3";
    sitePackages = "lib/python3.13/site-packages";
    withPackages = _: final.python3;
    pkgs = { };
    pythonOnBuildForHost = final.python3;
  } (link "python3");
  python3Minimal = final.python3;
  python313 = final.python3;
}
