# A colmena hive from a list of hosts: written by a person (hosts.json), or by OpenTofu (`tofu output -json`). Each
# host: { name, address, image ? "digitalocean", system ? "x86_64-linux", user ? "root", tags ? [ ], module ? { } }.
{ lib }:
let
  example = ''{ "hosts": { "alice": { "address": "192.0.2.1" } } }'';

  # `tofu output -json` wraps each output in { value, type, sensitive }; a hosts file is the value itself.
  unwrapped = { hosts, ... }: if hosts ? value && hosts ? type then hosts.value else hosts;
  # OpenTofu often gives lists; names are then in the entries.
  named =
    hosts:
    if lib.isList hosts then
      lib.listToAttrs (map (host: lib.nameValuePair host.name host) hosts)
    else
      hosts;

  known = [
    "address"
    "image"
    "module"
    "name"
    "system"
    "tags"
    "user"
  ];
  # What is wrong with a hosts file, and how it is right; null if nothing is.
  mistake =
    data:
    let
      hosts = unwrapped data;
      nameless = lib.filter (host: !(host ? name)) hosts;
      names = map (host: host.name) hosts;
      inHosts = lib.mapAttrsToList mistakeIn (named hosts);
    in
    if !lib.isAttrs data || !(data ? hosts) then
      "the hosts file has no `hosts`; it looks like ${example}, or is what `tofu output -json` prints with an output `hosts`"
    else if lib.isList hosts && nameless != [ ] then
      "a host in the list has no `name`: ${builtins.toJSON (lib.head nameless)}"
    else if lib.isList hosts && !lib.allUnique names then
      "two hosts in the list have the same `name`: ${lib.concatStringsSep ", " names}"
    else
      lib.findFirst (text: text != null) null inHosts;
  mistakeIn =
    name: host:
    let
      unknown = lib.subtractLists known (lib.attrNames host);
    in
    if builtins.match "[a-z0-9][a-z0-9-]{0,62}" name == null then
      "the host `${name}` has a name that is none: small letters, digits and dashes"
    else if unknown != [ ] then
      "the host `${name}` has `${lib.head unknown}`, which is not known; known are ${lib.concatStringsSep ", " known}"
    else if !(host ? address) then
      "the host `${name}` has no `address`: an IP address or a name that ssh can reach"
    else
      null;
in
{
  inherit mistake;

  # What colmena reads. `nixpkgs` is the package set of the machine it runs on, `pkgsFor` one per system, `images` the
  # modules of each image.
  make =
    {
      data,
      nixpkgs,
      pkgsFor,
      images,
      common ? { },
    }:
    let
      hosts = if mistake data == null then named (unwrapped data) else throw (mistake data);
      node =
        name: host:
        let
          image = host.image or "digitalocean";
        in
        {
          imports = [
            common
            (images.${image}
              or (throw "the host `${name}` has the image `${image}`; there are ${lib.concatStringsSep ", " (lib.attrNames images)}")
            )
            (host.module or { })
          ];
          networking.hostName = lib.mkOverride 90 name;
          deployment = {
            targetHost = host.address;
            targetUser = host.user or "root";
            tags = [ image ] ++ (host.tags or [ ]);
          };
        };
    in
    {
      meta = {
        inherit nixpkgs;
        nodeNixpkgs = lib.mapAttrs (_: host: pkgsFor.${host.system or "x86_64-linux"}) hosts;
      };
    }
    // lib.mapAttrs node hosts;
}
