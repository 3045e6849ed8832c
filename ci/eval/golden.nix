# What runs on each image, as text: { "<image>/<path>" = text; }, with `common/` for what is the same on all of them; and the page
# of all options, which is not in ci/golden.
# Nothing is built for it. It is committed in ci/golden, so that a change to a running system is seen in review.
{ lib, self }:
let
  normalise = import ./normalise.nix { inherit lib; };
  images = [
    "digitalocean"
    "generic"
    "raspberrypi"
    "raspberrypi5"
    "wsl"
  ];

  ours = name: lib.hasPrefix "e3" name || lib.hasPrefix "run-e3party" name;
  filesOf =
    name:
    let
      inherit (self.nixosConfigurations.${name}) config;
      inherit (config.e3.agent) dist;
      # What NixOS adds to a unit of agent/dist is a drop-in, `overrides.conf`.
      unitFile =
        unit:
        if dist.texts ? "systemd/${unit}" then "systemd/${unit}.d/overrides.conf" else "systemd/${unit}";
      units = lib.mapAttrs' (unit: value: lib.nameValuePair (unitFile unit) value.text) (
        lib.filterAttrs (unit: value: ours unit && value.enable) config.systemd.units
      );
      # Texts of an image's own that are packages.
      place = "/lib/systemd/system/";
      dropIns = lib.listToAttrs (
        map
          (package: lib.nameValuePair "systemd/${lib.removePrefix place package.destination}" package.text)
          (
            lib.filter (package: lib.hasPrefix "${place}e3" (package.destination or "")) config.systemd.packages
          )
      );
      etc = lib.filterAttrs (
        path: file: lib.hasPrefix "e3/" path && file.enable && path != "e3/release"
      ) config.environment.etc;
    in
    lib.mapAttrs (_: normalise) (
      lib.filterAttrs (path: _: !lib.hasPrefix "share/" path) (
        removeAttrs dist.texts [
          "etc/e3/agent.toml"
          "sysusers.d/e3.conf"
        ]
      )
      // lib.filterAttrs (_: text: text != null) units
      // dropIns
      // lib.mapAttrs' (path: file: lib.nameValuePair "etc/${path}" file.text) etc
      // {
        "firewall.json" =
          builtins.toJSON (
            if config.networking.firewall.enable then
              lib.getAttrs [
                "allowedTCPPorts"
                "allowedTCPPortRanges"
                "allowedUDPPorts"
                "interfaces"
              ] config.networking.firewall
            else
              "off"
          )
          + "\n";
      }
      # The commands that fill the FAT partition of a card.
      // lib.optionalAttrs (config ? sdImage) {
        "firmware-partition" = config.sdImage.populateFirmwareCommands;
      }
      // lib.optionalAttrs (name == "wsl") {
        "etc/wsl.conf" = config.environment.etc."wsl.conf".text;
      }
    );

  all = lib.genAttrs images filesOf;
  first = all.${lib.head images};
  common = lib.filterAttrs (
    path: text: lib.all (image: (all.${image}.${path} or null) == text) images
  ) first;
  under = folder: lib.mapAttrs' (path: lib.nameValuePair "${folder}/${path}");
in
under "common" common
// lib.concatMapAttrs (image: files: under image (removeAttrs files (lib.attrNames common))) all
// {
  "modules/README.md" = import ./options.nix { inherit lib self; };
}
