# For every other kind of machine: a configuration without a disk layout, of which `system.build.images.<variant>`
# makes the image. The join file comes as user data, as a cloud-init NoCloud disk, or as a systemd credential.
{ lib, pkgs, ... }:
let
  name = variant: "e3-${variant}-${pkgs.stdenv.hostPlatform.system}";
  variant = module: {
    imports = [ module ];
  };
  nocloud = "/run/cidata";
in
{
  e3.appliance.sshKeysFromMetadata = lib.mkOverride 800 false;

  # A disk of NoCloud, as `cloud-localds` and hypervisors make it. Its file system knows no owner; the only other user on
  # the machine is the agent, and sessions do not see it.
  fileSystems.${nocloud} = {
    device = "/dev/disk/by-label/cidata";
    fsType = "auto";
    options = [
      "ro"
      "nofail"
      "nosuid"
      "nodev"
      "noexec"
      "x-systemd.device-timeout=1s"
    ];
  };
  e3.join.place = lib.mkOverride 800 "nocloud";
  e3.appliance.sshKeysFromJoin = lib.mkOverride 800 true;

  # Looked at by itself, a system needs a root and a boot loader; weaker than what any variant says.
  fileSystems."/" = lib.mkOverride 1400 {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.grub.device = lib.mkOverride 1400 "nodev";

  image.modules = {
    amazon = variant {
      image.baseName = lib.mkForce (name "amazon");
      e3.join.place = "amazon";
      e3.appliance.sshKeysFromMetadata = true;
      # User data is a join file, never the machine's next system; and nobody but the owner gets in.
      virtualisation.amazon-init.enable = false;
      services.amazon-ssm-agent.enable = lib.mkForce false;
    };
    proxmox = variant {
      image.baseName = lib.mkForce (name "proxmox");
      # Its join file comes with Proxmox' own NoCloud disk; cloud-init itself would be a second way to change the machine.
      services.cloud-init.enable = lib.mkForce false;
    };
    iso = variant {
      image.baseName = lib.mkForce (name "iso");
    };
    qemu = variant {
      image.baseName = lib.mkForce (name "qemu");
    };
    qemu-efi = variant {
      image.baseName = lib.mkForce (name "qemu-efi");
    };
  };
}
