# An onion service in front of the agent, for machines that cannot be reached in any other way. It is slow.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.tor;
  port = lib.toInt (lib.last (lib.splitString ":" config.e3.agent.settings.listen));
in
{
  options.e3.mesh.tor = {
    enable = lib.mkEnableOption "an onion service for the agent";
    clients = mkOption {
      type = types.listOf (types.strMatching "descriptor:x25519:[A-Z2-7]{52}");
      default = [ ];
      description = "Who may use it: one line `descriptor:x25519:KEY` for each party. Everybody if there is none.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.tor = {
      enable = true;
      client.enable = true;
      relay.onionServices.e3 = {
        version = 3;
        map = [
          {
            inherit port;
            target = {
              addr = "[::1]";
              inherit port;
            };
          }
        ];
        authorizedClients = cfg.clients;
      };
    };
  };
}
