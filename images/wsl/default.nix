# Windows Subsystem for Linux: NixOS-WSL's system, whose module has to be imported beside this, as one derivation that
# makes `e3.wsl`. Windows gives it the network and the clock, and keeps it running.
{
  config,
  lib,
  pkgs,
  modulesPath,
  ...
}:
{
  imports = [ (modulesPath + "/image/file-options.nix") ];

  wsl = {
    enable = true;
    defaultUser = lib.mkOverride 800 "e3-owner";
    wslConf = {
      network.hostname = config.networking.hostName;
      # What Windows has installed is none of this machine's business.
      interop.appendWindowsPath = false;
    };
    interop.includePath = false;
    startMenuLaunchers = false;
  };
  # NixOS-WSL's user may become root, as on every WSL; there is no way in but from Windows.
  security.sudo.enable = true;

  networking.hostName = lib.mkOverride 800 "e3-wsl";
  # Windows owns the network: addresses, names, and who gets in from outside.
  networking.useNetworkd = false;
  networking.useDHCP = false;
  networking.firewall.enable = false;
  hardware.graphics.enable = lib.mkForce false;
  e3.appliance.watchdog = null;

  # The drive of Windows is a file system that anybody on Windows can write to, so its join file is checked like any.
  e3.join.place = "wsl";

  # Windows' clock stands still while the computer sleeps, and WSL's stays behind for a while; the agent's floor
  # (rule 10) keeps the trust rules right meanwhile. WSL's own clock is corrected by Windows.
  services.timesyncd.enable = false;

  image.baseName = "e3";
  image.extension = "wsl";
  system.build.image = pkgs.callPackage ./file.nix {
    inherit (config.system.build) toplevel;
    shim = "${config.system.build.nativeUtils}/bin/systemd-shim";
    inherit (config.wsl) extraBin;
    wslConf = config.environment.etc."wsl.conf".source;
    user = {
      name = config.wsl.defaultUser;
      inherit (config.users.users.${config.wsl.defaultUser}) uid;
    };
  };
}
