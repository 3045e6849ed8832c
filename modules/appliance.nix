# What every image shares: a machine that does one thing, and that nobody logs in to. No disk layout, no boot loader:
# those are the image's. Everything is a default that a configuration can change.
{
  config,
  lib,
  modulesPath,
  ...
}:
let
  inherit (lib) mkOption types;
  # Before nixpkgs' own defaults (1000), after an image's (800) and after what an owner writes (100).
  mkBase = lib.mkOverride 900;
  cfg = config.e3.appliance;
  # What a machine is born with must not be in its image.
  born = lib.filter (
    path: builtins.match "ssh/ssh_host_.*_key|e3/(identity|key).*|machine-id" path != null
  ) (lib.attrNames config.environment.etc);
  sshPossible = cfg.sshKeys != [ ] || cfg.sshKeysFromMetadata || cfg.sshKeysFromJoin;
  # Where the importer writes the keys of the join file, for %u is root.
  imported = "/var/lib/e3-import/ssh";
in
{
  imports = [ (modulesPath + "/profiles/minimal.nix") ];

  options.e3.appliance = {
    sshKeys = mkOption {
      type = types.listOf types.singleLineStr;
      default = [ ];
      example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI… alice" ];
      description = "Who may log in as root over ssh. Without a key there is no ssh.";
    };
    sshKeysFromMetadata = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the cloud may give ssh keys when the machine is made. ssh then starts only on machines that were given one.
      '';
    };
    sshKeysFromJoin = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the join file may name ssh keys (`e3 image inject --ssh-key`). ssh then starts only on machines that were
        given one.
      '';
    };
    journalSize = mkOption {
      type = types.strMatching "[0-9]+[KMG]";
      default = "200M";
      description = "The most that the journal takes on the disk.";
    };
    watchdog = mkOption {
      type = types.nullOr types.str;
      default = "30s";
      description = ''
        After which time without a sign of systemd the hardware restarts the machine; a machine without such hardware
        ignores it. null for never.
      '';
    };
  };

  config = {
    e3.agent = {
      enable = mkBase true;
      # Which mesh a machine joins is in its join file, so the image cannot know the interface. Who is not of the fleet
      # gets no further than the TLS handshake; who is not of the session is kept out by the session's unit.
      openFirewall = mkBase true;
    };
    # For when the fleet chooses it.
    e3.mesh = {
      link.enable = mkBase true;
      nebula.enable = mkBase true;
      openvpn.enable = mkBase true;
      tailscale.enable = mkBase true;
      tinc.enable = mkBase true;
      tor.enable = mkBase true;
      wireguard.enable = mkBase true;
    };

    assertions = [
      {
        assertion = born == [ ];
        message = "environment.etc has ${lib.head (born ++ [ "" ])} in it, which would be the same on every machine made of this image: remove it; each machine makes its own.";
      }
      {
        assertion = !(lib.any (lib.hasInfix "PRIVATE KEY") cfg.sshKeys);
        message = "e3.appliance.sshKeys has a private key in it. Put the public one there (the file that ends in .pub), and make a new key.";
      }
      {
        assertion =
          !config.services.openssh.enable
          || sshPossible
          || config.users.users.root.openssh.authorizedKeys.keyFiles != [ ];
        message = "services.openssh is enabled and nobody may log in: add a key to e3.appliance.sshKeys, or disable it.";
      }
    ];

    # Nobody has a password, so nobody can guess it; the console shows how the machine is, and lets nobody in.
    users.mutableUsers = mkBase true;
    users.allowNoPasswordLogin = true;
    security.sudo.enable = mkBase false;
    services.openssh = {
      enable = mkBase sshPossible;
      settings = {
        PasswordAuthentication = false;
        KbdInteractiveAuthentication = false;
        PermitRootLogin = mkBase "prohibit-password";
      };
    };
    users.users.root.openssh.authorizedKeys.keys = cfg.sshKeys;
    # Not only its `unitConfig`: that would be a unit, an empty one, where there is no ssh.
    systemd.services.sshd = lib.mkMerge [
      (lib.mkIf (cfg.sshKeysFromMetadata && !cfg.sshKeysFromJoin && cfg.sshKeys == [ ]) {
        unitConfig.ConditionFileNotEmpty = "/root/.ssh/authorized_keys";
      })
      (lib.mkIf cfg.sshKeysFromJoin {
        after = [ "e3-import.service" ];
        # Any of them.
        unitConfig.ConditionFileNotEmpty = lib.mkIf (cfg.sshKeys == [ ]) (
          lib.optional cfg.sshKeysFromMetadata "|/root/.ssh/authorized_keys" ++ [ "|${imported}/root" ]
        );
      })
    ];
    # A join file may come later than the machine.
    systemd.paths.e3-ssh = lib.mkIf cfg.sshKeysFromJoin {
      description = "E3 ssh keys of the join file";
      wantedBy = [ "paths.target" ];
      pathConfig = {
        PathChanged = "${imported}/root";
        Unit = "sshd.service";
      };
    };
    services.openssh.authorizedKeysFiles = lib.mkIf cfg.sshKeysFromJoin [ "${imported}/%u" ];
    e3.join.sshKeys = lib.mkIf cfg.sshKeysFromJoin true;

    networking = {
      hostName = mkBase "e3";
      useNetworkd = mkBase true;
      firewall = {
        enable = mkBase true;
        # A machine that answers is found sooner by its owner than by anybody whom silence would stop.
        allowPing = mkBase true;
        logRefusedConnections = mkBase false;
      };
    };
    # No boot waits for the network: the agent does, and says so.
    systemd.network.wait-online.enable = mkBase false;
    systemd.services.NetworkManager-wait-online.enable = mkBase false;

    # The time comes when it comes: the agent has its own floor (rule 10).
    services.timesyncd.enable = mkBase true;
    systemd.services.systemd-time-wait-sync.enable = mkBase false;

    services.journald.storage = mkBase "persistent";
    services.journald.extraConfig = ''
      SystemMaxUse=${cfg.journalSize}
      RuntimeMaxUse=50M
    '';

    systemd.settings.Manager = lib.mkIf (cfg.watchdog != null) {
      RuntimeWatchdogSec = mkBase cfg.watchdog;
      RebootWatchdogSec = mkBase "2min";
    };
    boot.kernel.sysctl = {
      # A machine that nobody sits at must not wait for somebody.
      "kernel.panic" = mkBase 10;
      "kernel.panic_on_oops" = mkBase 1;
    };
    systemd.enableEmergencyMode = mkBase false;

    nix = {
      # Half of what a machine needs for its next system may be its disk's last: garbage goes by itself.
      gc = {
        automatic = mkBase config.nix.enable;
        dates = mkBase "weekly";
        options = mkBase "--delete-older-than 30d";
      };
      channel.enable = false;
      settings = {
        experimental-features = [
          "nix-command"
          "flakes"
        ];
        min-free = mkBase (512 * 1024 * 1024);
        max-free = mkBase (2 * 1024 * 1024 * 1024);
        # Hard links in an image would depend on who built it.
        auto-optimise-store = false;
      };
    };
    # The sources that this system was made from are not needed on it.
    nixpkgs.flake = {
      setNixPath = false;
      setFlakeRegistry = false;
    };
    system.tools.nixos-generate-config.enable = mkBase false;
    i18n.supportedLocales = mkBase [ "C.UTF-8/UTF-8" ];
    i18n.defaultLocale = mkBase "C.UTF-8";
    fonts.fontconfig.enable = mkBase false;
    programs.nano.enable = mkBase false;
    services.speechd.enable = mkBase false;
    # Nobody needs it here, and it holds the kernel back.
    boot.supportedFilesystems.zfs = lib.mkForce false;
    boot.enableContainers = mkBase false;

    # The banner: who this machine is and how it stands, from the agent (agent/dist/tmpfiles.d/e3-issue.conf).
    services.getty.helpLine = lib.mkForce "";
    services.getty.greetingLine = mkBase "E3, NixOS ${config.system.nixos.release} on \\l";
    environment.etc."e3/release".text = ''
      VERSION=${config.e3.agent.package.version or "unknown"}
      REVISION=${toString config.system.configurationRevision}
    '';

    system.stateVersion = mkBase "26.05";
  };
}
