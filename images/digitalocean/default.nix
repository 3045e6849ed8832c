# qcow2 for DigitalOcean's custom images: the join file comes as user data, ssh keys as the droplet's, the root file
# system grows to the disk.
{
  config,
  lib,
  pkgs,
  modulesPath,
  ...
}:
let
  # Whoever needs the metadata waits for them, and nobody else. nixpkgs has the network's target wait, and so the agent:
  # on a droplet whose metadata do not answer it would never start.
  late = {
    wantedBy = lib.mkForce [ "multi-user.target" ];
    unitConfig.Before = lib.mkForce [ ];
    serviceConfig.TimeoutStartSec = "1min";
  };
in
{
  imports = [ (modulesPath + "/virtualisation/digital-ocean-image.nix") ];

  virtualisation = {
    diskSize = 4 * 1024;
    # gzip would put its time into the image. DigitalOcean unpacks either.
    digitalOceanImage.compressionMethod = "bzip2";
    digitalOcean = {
      setSshKeys = true;
      setRootPassword = false;
      # User data is a join file, or text for cloud-init, but never the machine's next system: that would be built on
      # the droplet, by whoever may write user data.
      rebuildFromUserData = false;
    };
  };
  systemd.services.digitalocean-metadata = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.TimeoutStartSec = "2min";
  };
  systemd.services.digitalocean-set-hostname = late;
  systemd.services.digitalocean-entropy-seed = lib.mkIf config.virtualisation.digitalOcean.seedEntropy late;

  # Metrics for DigitalOcean; nobody asked for them.
  services.do-agent.enable = lib.mkOverride 800 false;

  e3.appliance.sshKeysFromMetadata = lib.mkOverride 800 true;
  # The user data that digitalocean-metadata.service fetches. They cannot be burnt: the token is void after its first use.
  e3.join.place = "digitalocean";
  # The importer is told when they are there: the agent is ordered behind it, so it must not wait for them either.
  systemd.paths.e3-import = lib.mkIf config.e3.join.import {
    pathConfig.PathChanged = "/run/do-metadata/v1.json";
  };

  system.name = "digitalocean";
  networking.hostName = ""; # what the droplet is called
  networking.useDHCP = true;
  image.baseName = "e3-digitalocean-${pkgs.stdenv.hostPlatform.system}";
}
