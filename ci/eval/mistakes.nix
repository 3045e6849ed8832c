# Configurations that make no sense, and what each has to be answered: the option's name and the remedy. The rest of
# NixOS is left out, since our modules alone decide this; so all of them take a moment.
{ lib, pkgs }:
let
  # Just enough of NixOS: what is set is kept, what is read is there.
  nixos = {
    options = {
      assertions = lib.mkOption { type = lib.types.listOf lib.types.raw; };
      warnings = lib.mkOption { type = lib.types.listOf lib.types.str; };
    };
    config = {
      _module = {
        args = { inherit pkgs; };
        freeformType = lib.types.lazyAttrsOf lib.types.anything;
      };
      systemd.package = pkgs.systemd;
      system.etc.overlay = {
        enable = lib.mkDefault false;
        mutable = lib.mkDefault true;
      };
      networking.hostName = "e3";
      services.tailscale.enable = lib.mkDefault false;
    };
  };
  answers =
    module:
    let
      inherit
        (lib.evalModules {
          modules = [
            nixos
            ../../modules
            { e3.agent.enable = lib.mkDefault true; }
            module
          ];
        })
        config
        ;
    in
    map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) config.assertions);

  key = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
  cases = {
    "a version without a hash" = {
      module = {
        _file = "fleet.nix";
        e3.mpyc.versions = [
          "0.11"
          "0.12"
        ];
      };
      says = [
        "e3.mpyc.versions (in fleet.nix) names 0.12"
        "prefetch-file"
        ''e3.mpyc.hashes."VERSION"''
      ];
    };
    "a version twice" = {
      module.e3.mpyc.versions = [
        "0.11"
        "0.11"
      ];
      says = [ "remove one" ];
    };
    "more signatures than signers" = {
      module.e3.trust = {
        enable = true;
        signers = [
          key
          key
        ];
        threshold = 2;
      };
      says = [
        "e3.trust.threshold"
        "add signers"
      ];
    };
    "a threshold without signers" = {
      module.e3.trust = {
        enable = true;
        threshold = 2;
      };
      says = [ "List the signers" ];
    };
    "an input in the store" = {
      module.e3.trust = {
        enable = true;
        inputs.salary.file = "${builtins.storeDir}/salary";
      };
      says = [
        "e3.trust.inputs.salary.file"
        "/etc/e3/inputs/salary"
      ];
    };
    "a fleet with gaps" = {
      module.e3.fleet = {
        enable = true;
        name = "demo";
      };
      says = [
        "e3.fleet.hub"
        "e3 fleet invite"
      ];
    };
    "a token in the store" = {
      module.e3.fleet = {
        enable = true;
        tokenFile = "${builtins.storeDir}/token";
      };
      says = [ "tokenFile = \"/run/secrets/e3-token\"" ];
    };
    "a join file in the store" = {
      module.e3.join.files = [ "${builtins.storeDir}/e3.toml" ];
      says = [ "e3.join.files" ];
    };
    "a source without a kind" = {
      module.e3.join.sources = [ { path = "/mnt/usb/e3.toml"; } ];
      says = [ "e3.join.sources" ];
    };
    "all of the memory" = {
      module.e3.limits.memory = "100%";
      says = [ "less\nthan 100%" ];
    };
    "ports that end before they begin" = {
      module.e3.agent.sessionPorts = {
        from = 2000;
        to = 1000;
      };
      says = [ "exchange" ];
    };
    "an /etc that cannot be written" = {
      module.system.etc.overlay = {
        enable = true;
        mutable = false;
      };
      says = [ "system.etc.overlay.mutable = true" ];
    };
    "a hub without a fleet" = {
      module.e3.hub.enable = true;
      says = [ "e3 fleet new" ];
    };
    "half of a certificate" = {
      module.e3.hub = {
        enable = true;
        fleet = "/var/lib/e3-hub/demo";
        tls.key = "/run/secrets/key";
      };
      says = [ "both" ];
    };
    "an anchor without a mesh" = {
      module.e3.mesh.nebula.anchorPort = 4242;
      says = [ "e3.mesh.nebula.enable" ];
    };
    "an anchor without OpenVPN" = {
      module.e3.mesh.openvpn.anchorPort = 443;
      says = [ "e3.mesh.openvpn.enable" ];
    };
    "an anchor without tinc" = {
      module.e3.mesh.tinc.anchorPort = 10655;
      says = [ "e3.mesh.tinc.enable" ];
    };
    "an anchor without WireGuard" = {
      module.e3.mesh.wireguard.anchorPort = 4242;
      says = [ "e3.mesh.wireguard.enable" ];
    };
    "an anchor without the built-in mesh" = {
      module.e3.mesh.link.anchorPort = 4242;
      says = [ "e3.mesh.link.enable" ];
    };
    "Tailscale twice" = {
      module = {
        e3.mesh.tailscale.enable = true;
        services.tailscale.enable = true;
      };
      says = [
        "e3.mesh.tailscale"
        "leave out one"
      ];
    };
    "a Headscale that nobody finds" = {
      module.e3.mesh.headscale.enable = true;
      says = [
        "e3.mesh.headscale.url"
        "e3.mesh.headscale.fleet"
      ];
    };
  };

  check =
    name:
    { module, says }:
    let
      got = answers module;
      text = lib.concatStringsSep "\n" got;
      missing = lib.filter (word: !lib.hasInfix word text) says;
    in
    if missing == [ ] then
      "${name}: refused"
    else
      throw "the mistake `${name}` is not answered with `${lib.head missing}`, but with: ${
        if got == [ ] then "nothing" else text
      }";
  # Nothing is refused when nothing is wrong.
  none = answers { };
in
assert lib.assertMsg (none == [ ]) "a configuration without a mistake is refused: ${toString none}";
lib.concatStringsSep "\n" (lib.mapAttrsToList check cases)
