# A tailnet: Tailscale's own coordination server, or a Headscale.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.tailscale;
in
{
  options.e3.mesh.tailscale = {
    enable = lib.mkEnableOption "a tailnet as the mesh";
    loginServer = mkOption {
      type = types.nullOr (types.strMatching "https?://.+");
      default = null;
      example = "https://headscale.example.org";
      description = "The coordination server; null is Tailscale's own.";
    };
    authKeyFile = mkOption {
      type = types.nullOr (types.strMatching "/.+");
      default = null;
      example = "/run/secrets/tailscale";
      description = "A file on the machine with the key to join with.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.authKeyFile == null || !lib.hasPrefix builtins.storeDir cfg.authKeyFile;
        message = "e3.mesh.tailscale.authKeyFile is in the store, which everybody on the machine can read: name a file on the machine.";
      }
    ];
    services.tailscale = {
      enable = true;
      openFirewall = true;
      inherit (cfg) authKeyFile;
      extraUpFlags = lib.optional (cfg.loginServer != null) "--login-server=${cfg.loginServer}";
    };
    e3.mesh.interfaces = [ config.services.tailscale.interfaceName ];
  };
}
