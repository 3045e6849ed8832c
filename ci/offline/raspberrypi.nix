# The card's layer that needs a kernel: the partition that grows, and the tools for disks.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  sdImage.expandOnBoot = false;
  boot.supportedFilesystems = lib.mkForce { };
  environment.systemPackages = lib.mkForce [
    config.e3.agent.package
    pkgs.bash
    pkgs.coreutils
  ];
}
