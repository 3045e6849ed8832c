# A Nebula network: certificates of the fleet's own authority, lighthouses that only introduce.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.nebula;
  # Nebula filters by itself what the firewall of the machine filters anyway.
  anybody = [
    {
      port = "any";
      proto = "any";
      host = "any";
    }
  ];
in
{
  options.e3.mesh.nebula = {
    enable = lib.mkEnableOption "a Nebula network as the mesh";
    isLighthouse = lib.mkEnableOption "the duty of a lighthouse on this machine";
    lighthouses = mkOption {
      type = types.attrsOf (types.listOf types.str);
      default = { };
      example."10.42.0.1" = [ "lighthouse.example.org:4242" ];
      description = "The address of each lighthouse in the mesh, and where it is reached outside.";
    };
    pki = mkOption {
      type = types.strMatching "/.+";
      default = "/var/lib/e3-nebula";
      description = "The folder on the machine with ca.crt, host.crt and host.key.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.isLighthouse || cfg.lighthouses != { };
        message = ''
          e3.mesh.nebula knows no lighthouse, and is none: nobody would introduce it to the others. Set
          e3.mesh.nebula.lighthouses."10.42.0.1" = [ "lighthouse.example.org:4242" ]; or isLighthouse = true;
        '';
      }
    ];
    services.nebula.networks.e3 = {
      enable = true;
      inherit (cfg) isLighthouse;
      ca = "${cfg.pki}/ca.crt";
      cert = "${cfg.pki}/host.crt";
      key = "${cfg.pki}/host.key";
      lighthouses = lib.optionals (!cfg.isLighthouse) (lib.attrNames cfg.lighthouses);
      staticHostMap = cfg.lighthouses;
      firewall = {
        inbound = anybody;
        outbound = anybody;
      };
    };
    e3.mesh.interfaces = [ "nebula.e3" ];
  };
}
