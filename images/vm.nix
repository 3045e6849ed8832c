# The appliance in QEMU on the computer of whoever tries it: `nix run .#vm`, with a fleet of its own, or with a join file:
# E3_JOIN=e3.toml.
{
  config,
  lib,
  modulesPath,
  ...
}:
{
  imports = [ (modulesPath + "/virtualisation/qemu-vm.nix") ];

  virtualisation = {
    graphics = false;
    memorySize = 1024;
    cores = 2;
    # QEMU hands a file over as a credential of the system (SMBIOS): nothing of it is on a disk.
    qemu.options = [ "\${E3_JOIN:+-smbios type=11,path=$E3_CREDENTIALS}" ];
  };
  networking.hostName = lib.mkOverride 800 "e3-vm";

  # The hub of the fleet that vm.sh makes listens on that computer's own address alone. QEMU calls that computer 10.0.2.2;
  # here it answers at the same address as there, so that one is right for both.
  systemd.sockets.e3-vm-hub = {
    description = "The way to a hub on the computer that this machine runs on";
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "127.0.0.1:8420" ];
  };
  systemd.services.e3-vm-hub = {
    description = "The way to a hub on the computer that this machine runs on";
    requires = [ "e3-vm-hub.socket" ];
    serviceConfig = {
      ExecStart = "${config.systemd.package}/lib/systemd/systemd-socket-proxyd 10.0.2.2:8420";
      DynamicUser = true;
    };
  };
}
