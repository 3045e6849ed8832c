# Wi-Fi for a board without a screen: the network stands in the join file, the importer writes it down for
# wpa_supplicant, and this hands it over. Without one, nothing but the radio waits.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  source = "/var/lib/e3-import/wifi/wpa_supplicant.conf";
  # Where NixOS' wpa_supplicant reads a configuration that is not in the store.
  target = "/etc/wpa_supplicant/imperative.conf";
in
{
  config = lib.mkIf config.networking.wireless.enable {
    # NixOS lets everybody read that file, and a password is in it.
    systemd.tmpfiles.rules = [ "d /etc/wpa_supplicant 0700 wpa_supplicant wpa_supplicant" ];

    systemd.services.e3-wifi = {
      description = "E3 wireless network of the join file";
      wantedBy = [ "multi-user.target" ];
      after = [ "e3-import.service" ];
      before = [ "wpa_supplicant.service" ];
      unitConfig.ConditionPathExists = source;
      serviceConfig.Type = "oneshot";
      path = [
        pkgs.coreutils
        config.systemd.package
      ];
      script = ''
        install -m 600 -o wpa_supplicant -g wpa_supplicant ${source} ${target}
        # At boot it is not running yet, and starts after this.
        systemctl --no-block try-restart wpa_supplicant.service
      '';
    };
    systemd.paths.e3-wifi = {
      description = "E3 wireless network of the join file";
      wantedBy = [ "paths.target" ];
      pathConfig.PathChanged = source;
    };
  };
}
