# What every image has to do without in the lab, and why. Nothing here touches E3's own modules.
{ lib, pkgs, ... }:
let
  off = lib.mkForce false;
in
{
  # systemd-nspawn starts the system: no kernel, no initial file system, no boot loader, no device of its own.
  boot.isContainer = true;
  boot.initrd.enable = off;
  boot.initrd.systemd.enable = off;
  boot.bcache.enable = off;
  boot.growPartition = off;
  services.udev.enable = off;
  services.lvm.enable = off;
  services.fstrim.enable = off;
  hardware.enableAllHardware = off;
  hardware.enableRedistributableFirmware = off;
  zramSwap.enable = off;
  # Off in containers if nothing is said; the images start it at boot.
  services.openssh.startWhenNeeded = off;
  fileSystems = lib.mkForce { };

  # The lab's cable, plugged in and addressed by the lab.
  networking.useDHCP = off;
  networking.dhcpcd.enable = off;
  networking.resolvconf.enable = off;
  networking.useHostResolvConf = off;
  services.resolved.enable = off;
  networking.wireless.enable = off;
  systemd.network.networks."00-lab" = {
    matchConfig.Name = "eth0";
    linkConfig.Unmanaged = true;
  };

  # Debian's loader, without which no program here runs, and its `env`; NixOS would remove the one and replace the other.
  environment.ldso = lib.mkForce "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
  environment.stub-ld.enable = off;
  system.activationScripts.usrbinenv = lib.mkForce "";
  # Debian's polkit runs as this user; NixOS' has another one.
  users.users.polkitd = {
    isSystemUser = true;
    group = "polkitd";
  };
  users.groups.polkitd = { };
  systemd.sockets.polkit-agent-helper.enable = false;
  services.dbus.implementation = lib.mkForce "dbus";

  # Would have to be compiled.
  nix.enable = off;
  nix.gc.automatic = off;
  system.switch.enable = off;
  security.enableWrappers = off;
  security.sudo.enable = off;
  services.nscd.enable = off;
  system.nssModules = lib.mkForce [ ];
  systemd.generators = lib.mkForce { };
  systemd.user.generators = lib.mkForce { };
  systemd.coredump.enable = off;
  systemd.oomd.enable = off;
  services.logrotate.enable = off;
  documentation.enable = off;
  documentation.man.enable = off;
  fonts.fontconfig.enable = off;
  xdg.mime.enable = off;
  i18n.glibcLocales = lib.mkForce pkgs.glibcLocales;
  programs.less.enable = off;
  programs.nano.enable = off;
  programs.command-not-found.enable = off;
  environment.defaultPackages = lib.mkForce [ ];
  environment.corePackages = lib.mkForce [
    pkgs.coreutils
    pkgs.bash
  ];
  environment.etc.rpc.source = lib.mkForce (pkgs.writeText "rpc" "");
  environment.etc."sysctl.d/55-nixos-aslr-entropy.conf".enable = lib.mkForce false;
}
