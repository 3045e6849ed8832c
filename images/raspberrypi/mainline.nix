# Raspberry Pi 3, 4 and Zero 2 W: the mainline kernel, which every cache has.
{ config, lib, ... }:
{
  imports = [ ./. ];
  system.name = "raspberrypi";
  sdImage.populateFirmwareCommands = lib.mkAfter config.e3.raspberrypi.firmwareFiles;
}
