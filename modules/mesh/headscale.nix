# A coordination server of the fleet's own for `e3.mesh.tailscale`.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.headscale;
in
{
  options.e3.mesh.headscale = {
    enable = lib.mkEnableOption "a Headscale server on this machine";
    url = mkOption {
      type = types.nullOr (types.strMatching "https?://.+");
      default = null;
      example = "https://headscale.example.org";
      description = "Where the machines reach it.";
    };
    baseDomain = mkOption {
      type = types.str;
      default = "e3.internal";
      description = "The domain of the machines' names.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.url != null;
        message = ''e3.mesh.headscale needs to know where machines reach it: e3.mesh.headscale.url = "https://headscale.example.org";'';
      }
    ];
    services.headscale = {
      enable = true;
      settings = {
        server_url = toString cfg.url;
        dns = {
          magic_dns = true;
          base_domain = cfg.baseDomain;
          nameservers.global = lib.mkDefault [ "9.9.9.9" ];
        };
      };
    };
  };
}
