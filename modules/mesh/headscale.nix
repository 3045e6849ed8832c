# A control server of the fleet's own for `e3 mesh headscale`, with its own relay: it asks nobody outside.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.e3.mesh.headscale;
  tag = "tag:e3-${toString cfg.fleet}";
in
{
  options.e3.mesh.headscale = {
    enable = lib.mkEnableOption "a Headscale server on this machine, for a fleet that chooses it as the mesh";
    url = mkOption {
      type = types.nullOr (types.strMatching "https://[^/]+");
      default = null;
      example = "https://headscale.example.org";
      description = "Where all machines of the fleet reach it: what `e3 mesh headscale --server` is told.";
    };
    fleet = mkOption {
      type = types.nullOr (types.strMatching "[a-z0-9-]+");
      default = null;
      example = "demo";
      description = "The fleet's name. Its machines may talk to each other, and to nobody else.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.url != null;
        message = ''e3.mesh.headscale needs to know where machines reach it: e3.mesh.headscale.url = "https://headscale.example.org";'';
      }
      {
        assertion = cfg.fleet != null;
        message = ''e3.mesh.headscale lets the machines of one fleet talk to each other: e3.mesh.headscale.fleet = "demo";'';
      }
    ];
    services.headscale = {
      enable = true;
      settings = {
        server_url = toString cfg.url;
        derp = {
          server = {
            enabled = mkDefault true;
            stun_listen_addr = mkDefault "0.0.0.0:3478";
          };
          urls = mkDefault [ ];
          auto_update_enabled = mkDefault false;
        };
        # What it is told it tells on at once, not after most of a second: a fleet is small.
        tuning = {
          batch_change_delay = mkDefault "50ms";
          node_store_batch_timeout = mkDefault "50ms";
        };
        disable_check_updates = mkDefault true;
        logtail.enabled = mkDefault false;
        dns = {
          magic_dns = mkDefault false;
          override_local_dns = mkDefault false;
          base_domain = mkDefault "e3.internal";
        };
        policy.path = mkDefault (
          builtins.toFile "headscale-policy.json" (
            builtins.toJSON {
              tagOwners.${tag} = [ ];
              grants = [
                {
                  src = [ tag ];
                  dst = [ tag ];
                  ip = [ "*" ];
                }
              ];
              # Nobody of Tailscale's is asked whether there is an Internet.
              nodeAttrs = [
                {
                  target = [ tag ];
                  attr = [ "disable-captive-portal-detection" ];
                }
              ];
            }
          )
        );
      };
    };
    # What finds a way through NATs.
    networking.firewall.allowedUDPPorts = [ 3478 ];
  };
}
