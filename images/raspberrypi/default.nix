# SD card image for Raspberry Pis: what all boards share. The FAT partition is the one that every computer can write
# to, so the join file lies there.
{
  config,
  lib,
  pkgs,
  modulesPath,
  ...
}:
let
  example = ../../agent/dist/share/e3.toml.example;
in
{
  imports = [
    (modulesPath + "/installer/sd-card/sd-image-aarch64.nix")
    ./wifi.nix
  ];

  # A rescue system's tools and file systems, which nobody sits in front of here.
  disabledModules = [ (modulesPath + "/profiles/base.nix") ];

  options.e3.raspberrypi.firmwareFiles = lib.mkOption {
    type = lib.types.lines;
    readOnly = true;
    description = "The command that puts E3's files on the FAT partition.";
    default = lib.optionalString (lib.pathExists example) "cp ${example} firmware/e3.toml.example\n";
  };

  config = {
    sdImage = {
      compressImage = true;
      # Room for a vendor's kernel files and the user's.
      firmwareSize = 128;
      # The same on every card: nobody mounts two of them at once, and everybody can build the same one twice.
      rootPartitionUUID = "e3e3e3e3-0000-4000-8000-000000000001";
      rootFilesystemCreator = ./deterministic-ext4.nix;
    };
    image.baseName = "e3-${config.system.name}-aarch64";

    fileSystems = {
      # Read-only but for the moment when the token is burnt: what is not written to is not lost with the power.
      "/boot/firmware".options = lib.mkForce [
        "ro"
        "nofail"
        "umask=0077"
        "x-systemd.device-timeout=10s"
      ];
      # The state that counts is fsynced by the agent; this bounds the rest.
      "/".options = [
        "noatime"
        "commit=5"
        "errors=remount-ro"
      ];
    };
    e3.join.place = "raspberrypi";
    e3.appliance.sshKeysFromJoin = lib.mkOverride 800 true;
    systemd.packages = lib.mkIf config.e3.join.import [
      (pkgs.writeTextDir "lib/systemd/system/e3-import.service.d/raspberrypi.conf"
        config.e3.agent.dist.texts."share/raspberrypi/e3-import.conf"
      )
    ];

    networking.hostName = lib.mkOverride 800 "e3-pi";
    networking.wireless.enable = lib.mkOverride 800 true;
    hardware.enableRedistributableFirmware = true;
    # No clock: it goes on from where it was, not from 1970 (rule 10 has the rest).
    services.timesyncd.enable = true;

    # Cards wear out, and memory is short.
    zramSwap.enable = lib.mkOverride 800 true;
    boot.tmp.useTmpfs = lib.mkOverride 800 true;
  };
}
