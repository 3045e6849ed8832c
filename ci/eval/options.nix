# modules/README.md: every option of our modules, as NixOS knows them, so that the page cannot say anything else.
{ lib, self }:
let
  normalise = import ./normalise.nix { inherit lib; };

  # Of a machine with everything that there is, since some modules come with the others only.
  inherit (self.nixosConfigurations.digitalocean) options;
  all = lib.filter (option: option.visible && !option.internal) (
    lib.optionAttrSetToDocList options.e3
  );

  # In a cell of a table: words on one line, without NixOS' own marks and with nothing that ends the cell.
  line =
    text:
    lib.concatStringsSep " " (
      lib.filter (word: word != "") (
        lib.splitString " " (
          lib.replaceStrings [ "\n" "|" "{option}" "{file}" "{command}" ] [ " " "\\|" "" "" "" ] text
        )
      )
    );
  text = value: if lib.isAttrs value then value.text or "" else value;
  code = value: "`" + line (normalise (lib.replaceStrings [ "`" ] [ "'" ] (text value))) + "`";
  default =
    option:
    if option ? default then
      code option.default
    else if option.readOnly then
      "read-only"
    else
      "**needed**";
  row =
    option:
    "| `${option.name}` | ${
      line (text (option.description or ""))
    } | ${line option.type} | ${default option} |";

  # e3.agent.settings.hub is of the group e3.agent.
  groupOf = option: lib.concatStringsSep "." (lib.take 2 option.loc);
  groups = lib.groupBy groupOf all;
  section = name: rows: ''

    ## ${name}

    | option | what | type | default |
    |---|---|---|---|
    ${lib.concatMapStringsSep "\n" row rows}
  '';
in
''
  # Options of the NixOS modules

  Made by `ci/nix golden --write` from the modules in this folder; do not edit it. `e3.nixosModules.default` has all of them for a
  machine of your own, and [the images](../images/README.md) are made of the same. [mesh](mesh/README.md) tells the meshes apart.

  ```nix
  {
    imports = [ e3.nixosModules.default ];
    e3.agent.enable = true;
  }
  ```
''
+ lib.concatStrings (lib.mapAttrsToList section groups)
