# The agent: user, units, rights and settings from agent/dist, and the options that the settings file knows.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkEnableOption
    mkIf
    mkOption
    types
    ;
  cfg = config.e3.agent;
  toml = import ./toml.nix { inherit lib; };
  dist = import ./dist.nix {
    inherit lib pkgs;
    agent = cfg.package;
    python = config.e3.mpyc.interpreter;
    systemd = config.systemd.package;
    meshes = lib.filter (name: config.e3.mesh.${name}.enable) [
      "link"
      "nebula"
      "tailscale"
      "wireguard"
      "openvpn"
      "tinc"
      "tor"
    ];
    link = config.e3.mesh.link.package;
  };
  nullable =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };
  address = "IP:PORT";
  endpoint = types.strMatching ".+:[0-9]+";
  port = lib.toInt (lib.last (lib.splitString ":" cfg.settings.listen));
  # What agent/dist wants to be started by whom, for one kind of unit; every kind that there is has a line below.
  enabled =
    kind: more:
    assert lib.assertMsg (
      unknown == [ ]
    ) "agent/dist wants ${toString unknown} to be started: add that kind of unit in modules/agent.nix";
    lib.mapAttrs' (
      unit: targets:
      lib.nameValuePair (lib.removeSuffix ".${kind}" unit) ({ wantedBy = targets; } // more unit)
    ) (lib.filterAttrs (unit: _: lib.hasSuffix ".${kind}" unit) dist.wantedBy);
  unknown = lib.filter (
    unit:
    !lib.any (kind: lib.hasSuffix ".${kind}" unit) [
      "path"
      "service"
      "timer"
    ]
  ) (lib.attrNames dist.wantedBy);
  settings =
    cfg.settings
    // {
      supervisor = "systemd";
      python = "${config.e3.mpyc.interpreter}/bin/python3";
      stores = lib.optional (config.e3.mpyc.store != null) "${config.e3.mpyc.store}";
    }
    // config.e3.join.settings;
in
{
  options.e3.agent = {
    enable = mkEnableOption "the E3 agent, which carries out its owner's part of secure computations";

    package = mkOption {
      type = types.package;
      default = pkgs.e3-agent or (pkgs.callPackage ../agent/package.nix { });
      defaultText = lib.literalExpression "pkgs.e3-agent";
      description = "The agent.";
    };

    # The keys of agent/dist/etc/e3/agent.toml that an owner may want to change. Folders, Python and the supervisor
    # are not among them: the units depend on those.
    settings = {
      listen = mkOption {
        type = endpoint;
        default = "[::]:7332";
        description = "Where to listen for other agents, as ${address}.";
      };
      advertise = nullable (types.listOf types.str) "The addresses to tell the others, without port; every address that is not local if null.";
      poll_seconds = nullable types.ints.positive "Seconds between two looks at a hub that does not push.";
      index = nullable types.str "The Python index that is asked for MPyC when neither the image nor the hub has it; \"\" for none.";
      unfiltered = nullable types.bool ''
        Whether a session may run although this kernel cannot keep it from the network (no BPF for cgroups).
      '';
      update = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the agent replaces itself by what the fleet's release keys have signed.";
      };
      trial_seconds = nullable types.ints.positive "Seconds that a new agent must work before it stays.";
      answers =
        nullable
          (types.enum [
            "owner"
            "signers"
            "nobody"
          ])
          "Who may ask this machine from afar who it is, what is wrong with it, and what its agent has logged.";
      metrics = nullable endpoint "Where to show metrics besides the socket, as ${address}; choose an address of the mesh.";
    };

    sessionPorts = mkOption {
      type = types.attrsOf types.port;
      default = {
        from = 11365;
        to = 11428;
      };
      description = ''
        The ports that sessions use: MPyC's first port, which a manifest can change, and one for each further party.
        They are opened where the agent's own port is.
      '';
    };

    openFirewall = mkEnableOption ''
      the ports of the agent and of sessions on every interface. Without it they are open on the mesh's interfaces
      alone ({option}`e3.mesh.interfaces`). For parties that reach each other without a mesh'';

    restartOnSwitch = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the agent is restarted when a new configuration of the system is switched to and changes it. That ends
        a session that runs. With `false` the change takes effect at the next start.
      '';
    };

    dist = mkOption {
      type = types.raw;
      internal = true;
      readOnly = true;
      default = dist;
      description = "What modules/dist.nix makes of agent/dist.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = !config.system.etc.overlay.enable || config.system.etc.overlay.mutable;
        message = ''
          The agent burns the token in /etc/e3/e3.toml, and system.etc.overlay.mutable = false makes /etc read-only.
          Set system.etc.overlay.mutable = true, or system.etc.overlay.enable = false.
        '';
      }
      {
        assertion = cfg.sessionPorts ? from && cfg.sessionPorts ? to;
        message = "e3.agent.sessionPorts has to name both `from` and `to`, for example { from = 11365; to = 11428; }.";
      }
      {
        assertion = (cfg.sessionPorts.from or 0) <= (cfg.sessionPorts.to or 0);
        message = "e3.agent.sessionPorts ends before it begins: exchange `from` and `to`.";
      }
    ];

    systemd.packages = [
      dist.package
      dist.closure
    ];
    systemd.tmpfiles.packages = [ dist.package ];
    services.dbus.packages = [ dist.package ];
    security.polkit.enable = true;
    environment.etc = {
      "polkit-1/rules.d/50-e3.rules".text = dist.texts."polkit-1/rules.d/50-e3.rules";
      "e3/agent.toml".text = ''
        # Made by NixOS from the options in e3.agent.settings; agent/dist/etc/e3/agent.toml explains each key.
        ${toml settings}'';
    };

    systemd.services = lib.mkMerge [
      (enabled "service" (_: {
        # They call no program but by its path.
        enableDefaultPath = false;
      }))
      {
        e3-agent = {
          restartIfChanged = cfg.restartOnSwitch;
          restartTriggers = [ config.environment.etc."e3/agent.toml".source ];
        };
      }
    ];
    systemd.paths = enabled "path" (_: { });
    systemd.timers = enabled "timer" (_: { });

    users.users.${dist.user.name} = {
      isSystemUser = true;
      group = dist.user.name;
      inherit (dist.user) description home;
    };
    users.groups.${dist.user.name} = { };

    # `e3-agent status` and the like.
    environment.systemPackages = [ cfg.package ];

    networking.firewall =
      let
        open = {
          allowedTCPPorts = [ port ];
          allowedTCPPortRanges = [ cfg.sessionPorts ];
        };
      in
      if cfg.openFirewall then
        open
      else
        { interfaces = lib.genAttrs config.e3.mesh.interfaces (_: open); };
  };
}
