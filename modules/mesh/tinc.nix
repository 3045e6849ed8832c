# A tinc network, which finds its own way through whoever can reach whom.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.mesh.tinc;
in
{
  options.e3.mesh.tinc = {
    enable = lib.mkEnableOption "a tinc network as the mesh";
    nodeName = mkOption {
      type = types.strMatching "[A-Za-z0-9_]+";
      default = lib.replaceStrings [ "-" "." ] [ "_" "_" ] config.networking.hostName;
      defaultText = lib.literalMD "the host name";
      description = "This machine's name in the mesh.";
    };
    hosts = mkOption {
      type = types.attrsOf types.lines;
      default = { };
      description = "The host files of the others, by their names.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.tinc.networks.e3 = {
      name = cfg.nodeName;
      inherit (cfg) hosts;
      interfaceType = "tun";
      # Its scripts are in the store, which a chroot has not.
      chroot = false;
    };
    networking.firewall = {
      allowedTCPPorts = [ 655 ];
      allowedUDPPorts = [ 655 ];
    };
    e3.mesh.interfaces = [ "tinc.e3" ];
  };
}
