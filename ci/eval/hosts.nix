# Hosts files with a mistake in them, and what each has to be answered.
{ lib }:
let
  inherit (import ../../modules/hive.nix { inherit lib; }) mistake;
  address = "192.0.2.1";
  cases = {
    "no hosts" = {
      data.machines = { };
      says = "no `hosts`; it looks like";
    };
    "a list" = {
      data = [ ];
      says = "no `hosts`";
    };
    "no address" = {
      data.hosts.alice = { };
      says = "`alice` has no `address`";
    };
    "a word that is mistyped" = {
      data.hosts.alice = {
        inherit address;
        adress = address;
      };
      says = "`adress`, which is not known; known are address";
    };
    "a name for a shell" = {
      data.hosts."alice; reboot" = { inherit address; };
      says = "small letters";
    };
    "a list without names" = {
      data.hosts = [ { inherit address; } ];
      says = ''no `name`: {"address":"192.0.2.1"}'';
    };
    "one name twice" = {
      data.hosts = {
        sensitive = false;
        type = "list";
        value = [
          {
            name = "alice";
            inherit address;
          }
          {
            name = "alice";
            address = "192.0.2.2";
          }
        ];
      };
      says = "the same `name`";
    };
  };
  check =
    name:
    { data, says }:
    let
      got = mistake data;
    in
    if got != null && lib.hasInfix says got then
      "${name}: refused"
    else
      throw "the hosts file with `${name}` is not answered with `${says}`, but with: ${
        if got == null then "nothing" else got
      }";
in
assert mistake { hosts.alice = { inherit address; }; } == null;
lib.concatStringsSep "\n" (lib.mapAttrsToList check cases)
