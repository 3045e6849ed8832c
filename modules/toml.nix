# TOML without a build: `pkgs.formats.toml` writes it with a program, so its text could not be looked at while
# evaluating. Enough for E3's own files: strings, numbers, booleans, lists of them, tables.
{ lib }:
let
  inherit (lib) isAttrs isList isString;
  # A JSON string is a TOML basic string.
  quote = text: builtins.toJSON (toString text);
  key = name: if builtins.match "[A-Za-z0-9_-]+" name != null then name else quote name;
  value =
    v:
    if isList v then
      "[${lib.concatMapStringsSep ", " value v}]"
    else if isString v || lib.isPath v || lib.isDerivation v then
      quote v
    else
      builtins.toJSON v;
  isTable = v: isAttrs v && !lib.isDerivation v;
  isTables = v: isList v && v != [ ] && lib.all isTable v;

  table =
    path: attrs:
    let
      given = lib.filterAttrs (_: v: v != null) attrs;
      plain = lib.filterAttrs (_: v: !isTable v && !isTables v) given;
      at = name: lib.concatMapStringsSep "." key (path ++ [ name ]);
      below = name: table (path ++ [ name ]);
    in
    lib.concatStrings (
      lib.mapAttrsToList (name: v: "${key name} = ${value v}\n") plain
      ++ lib.mapAttrsToList (name: v: "\n[${at name}]\n${below name v}") (
        lib.filterAttrs (_: isTable) given
      )
      ++ lib.mapAttrsToList (name: lib.concatMapStrings (v: "\n[[${at name}]]\n${below name v}")) (
        lib.filterAttrs (_: isTables) given
      )
    );
in
# Keys that are null are left out.
table [ ]
