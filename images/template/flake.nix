# A fleet of your own: three machines, each its own kind, described in one file. Secrets are not in it: the store can be
# read by everybody on a machine. They come with each machine's join file, or lie on the machine already.
#
#   nix flake init -t github:e-nikolov/mpyc     this file
#   nix build .#alice                           alice's image
#   e3 fleet invite alice -o alice.toml         what alice needs to join: her user data, beside no image
#   colmena apply                               later changes, to machines that run (needs `address`)
{
  inputs.e3.url = "github:e-nikolov/mpyc";

  outputs =
    { self, e3 }:
    let
      inherit (e3.inputs.nixpkgs) lib;

      machines = {
        # A droplet. Its join file is pasted as user data when it is made.
        alice = {
          image = "digitalocean";
          address = "192.0.2.1";
        };
        # A Raspberry Pi 4. Its join file is copied to the card's FAT partition as e3.toml.
        bob = {
          image = "raspberrypi";
          system = "aarch64-linux";
        };
        # A Windows computer. Its join file lies at %USERPROFILE%\e3.toml.
        carol.image = "wsl";
      };

      # What holds on all of them.
      common = {
        # Whoever may log in; without a key nobody can.
        # e3.appliance.sshKeys = [ "ssh-ed25519 AAAA… me" ];
        e3.mpyc.versions = [ "0.11" ];
        e3.limits.memory = "60%";
      };

      configurations = lib.mapAttrs (
        name: machine:
        e3.lib.machine {
          inherit (machine) image;
          system = machine.system or "x86_64-linux";
          modules = [
            common
            { networking.hostName = lib.mkOverride 90 name; }
          ];
        }
      ) machines;
      images = lib.mapAttrs (_: machine: machine.config.system.build.image) configurations;
      deployed = lib.filterAttrs (_: machine: machine ? address) machines;
    in
    {
      nixosConfigurations = configurations;
      packages = {
        x86_64-linux = images;
        aarch64-linux = images;
      };

      # Or the output of OpenTofu, with an output `hosts`: data = lib.importJSON ./tofu-output.json;
      colmena = e3.lib.hive {
        data.hosts = deployed;
        inherit common;
      };
      colmenaHive = e3.lib.colmenaHive self.colmena;
    };
}
