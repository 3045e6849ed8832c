# Raspberry Pi 5: the vendor's kernel and firmware, by nixos-hardware's module, which has to be imported beside this.
{ config, lib, ... }:
{
  imports = [ ./. ];
  system.name = "raspberrypi5";
  hardware.raspberry-pi.firmware.uboot.enable = true;
  # That module forces this option, so adding to it takes force as well.
  sdImage.populateFirmwareCommands = lib.mkForce (lib.mkAfter config.e3.raspberrypi.firmwareFiles);
}
