# A static WireGuard mesh: every party knows every other one's key and address.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.wireguard;
  interface = "e3wg";
in
{
  options.e3.mesh.wireguard = {
    enable = lib.mkEnableOption "a static WireGuard mesh";
    address = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "10.43.0.1/24" ];
      description = "This machine's addresses in the mesh.";
    };
    privateKeyFile = mkOption {
      type = types.strMatching "/.+";
      default = "/var/lib/e3-wireguard/key";
      description = "The secret key, a file on the machine; made on the first boot if it is not there.";
    };
    peers = mkOption {
      type = types.listOf types.attrs;
      default = [ ];
      description = "The others, as in networking.wireguard.interfaces.<name>.peers.";
    };
    listenPort = mkOption {
      type = types.port;
      default = 51820;
      description = "The UDP port.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.address != [ ];
        message = ''e3.mesh.wireguard needs an address of this machine: e3.mesh.wireguard.address = [ "10.43.0.1/24" ];'';
      }
      {
        assertion = !lib.hasPrefix builtins.storeDir cfg.privateKeyFile;
        message = "e3.mesh.wireguard.privateKeyFile is in the store, which everybody on the machine can read: name a file on the machine.";
      }
    ];
    networking.wireguard.interfaces.${interface} = {
      ips = cfg.address;
      inherit (cfg) privateKeyFile listenPort peers;
      generatePrivateKeyFile = true;
    };
    networking.firewall.allowedUDPPorts = [ cfg.listenPort ];
    e3.mesh.interfaces = [ interface ];
  };
}
