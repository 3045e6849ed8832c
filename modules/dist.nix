# agent/dist for NixOS: the very files that every other system gets, with the few paths replaced that are elsewhere
# here. A path that is no longer where this file looks for it, or one that nobody has thought of, ends the evaluation.
{
  lib,
  pkgs,
  # The agent's package; the Python that sessions run on; systemd.
  agent,
  python,
  systemd,
  # The meshes whose daemons are on the machine.
  meshes,
  # The built-in one's package.
  link,
}:
let
  inherit (lib) hasPrefix removePrefix;
  root = ../agent/dist;

  # Folder in agent/dist -> folder in the package; null: the module brings it to its place by another way.
  places = {
    "systemd/" = "lib/systemd/system/";
    "tmpfiles.d/" = "lib/tmpfiles.d/";
    "dbus-1/" = "share/dbus-1/";
    "sysusers.d/" = null; # users.users
    "polkit-1/" = null; # environment.etc, which polkit reads first
    "etc/" = null; # environment.etc
    "share/" = null; # what each image takes of it
    "lib/" = null; # `scripts`
  };

  # What stands in agent/dist -> what stands there on NixOS. Comments stay as they are.
  everywhere = {
    "/usr/lib/e3/e3-agent" = lib.getExe agent;
    "/usr/bin/python3" = "${python}/bin/python3";
    # Of the store a session sees Python and what it needs (`closure` below), not all that is on the machine.
    "BindReadOnlyPaths=/usr -/bin -/sbin -/lib -/lib32 -/lib64 -/nix/store" =
      "BindReadOnlyPaths=-/usr -/bin -/sbin -/lib -/lib32 -/lib64";
  };
  # What the units of meshes call in agent/dist/lib, each with the programs that it calls itself.
  scripts = lib.mapAttrs' (
    name: programs:
    lib.nameValuePair "/usr/lib/e3/${name}" (
      toString (
        pkgs.writeScript name (
          lib.replaceStrings
            [ "#!/bin/sh\n" ]
            [ "#!${pkgs.runtimeShell}\nPATH=${lib.makeBinPath (programs ++ [ pkgs.coreutils ])}\n" ]
            (builtins.readFile (root + "/lib/${name}"))
        )
      )
    )
  ) called;
  called = {
    mesh-wireguard = with pkgs; [
      gnused
      iproute2
      wireguard-go
      wireguard-tools
    ];
    mesh-openvpn = [ pkgs.gnugrep ];
    mesh-tinc = with pkgs; [
      iproute2
      tinc
    ];
  };
  # Programs that units call by their names alone, and whose they are: NixOS' systemd looks nowhere for them.
  programs = {
    inherit (pkgs) nebula openvpn;
    ip = pkgs.iproute2;
    kill = pkgs.util-linux;
    test = pkgs.coreutils;
    true = pkgs.coreutils;
    e3-link = link;
    tailscaled = pkgs.tailscale;
    systemd-tmpfiles = systemd;
  };
  named =
    line:
    let
      parsed = builtins.match "(Exec[A-Za-z]*=[-@:+!]*)([A-Za-z][^ ]*)(.*)" line;
      program = lib.elemAt parsed 1;
    in
    if parsed == null || !(programs ? ${program}) then
      line
    else
      "${lib.elemAt parsed 0}${programs.${program}}/bin/${program}${lib.elemAt parsed 2}";

  lines =
    f: text:
    lib.concatMapStringsSep "\n" (line: if lib.hasPrefix "#" line then line else f line) (
      lib.splitString "\n" text
    );
  # No program of another system's file tree may be left, and none that systemd would have to look for.
  checked =
    file: line:
    if
      builtins.match ".*=[^ ]*/usr/(s?bin|lib|libexec)/.*" line != null
      || builtins.match "Exec[A-Za-z]*=[-@:+!]*[A-Za-z].*" line != null
    then
      throw "agent/dist/${file} has `${line}`, a path that NixOS has not; add it to `everywhere` or `programs` in modules/dist.nix"
    else
      line;
  adapt =
    let
      all = everywhere // scripts // { "/usr/bin/tor" = lib.getExe pkgs.tor; };
    in
    lib.replaceStrings (lib.attrNames all) (lib.attrValues all);
  adapted =
    file: lines (line: checked file (named (adapt line))) (builtins.readFile (root + "/${file}"));

  files = lib.filter chosen (
    map (path: removePrefix "${toString root}/" (toString path)) (
      lib.filesystem.listFilesRecursive root
    )
  );
  # The unit of a mesh comes with the mesh.
  chosen =
    file:
    let
      mesh = builtins.match "systemd/e3-mesh-([a-z]+)[.]service" file;
    in
    mesh == null || lib.elem (lib.head mesh) meshes;
  target =
    file:
    let
      folder = lib.findFirst (folder: hasPrefix folder file) null (lib.attrNames places);
    in
    if folder == null then
      throw "agent/dist/${file} has no place in a NixOS system; add its folder to `places` in modules/dist.nix"
    else if places.${folder} == null then
      null
    else
      places.${folder} + removePrefix folder file;
  # A replacement that nothing needs any more hides that something has changed.
  stale = lib.filter (
    from: !lib.any (file: lib.hasInfix from (builtins.readFile (root + "/${file}"))) files
  ) (lib.attrNames everywhere);

  texts = lib.genAttrs files adapted;
  packaged = lib.filterAttrs (_: place: place != null) (lib.genAttrs files target);
in
assert lib.assertMsg (stale == [ ])
  "modules/dist.nix replaces `${lib.concatStringsSep "`, `" stale}`, which agent/dist has no more: change `everywhere`";
{
  # The text of each file, by its path in agent/dist.
  inherit texts;

  # What `systemctl enable e3-agent.service` would enable, since NixOS does not read [Install]: each unit, and what wants
  # it, "e3-agent.service" -> [ "multi-user.target" ].
  wantedBy =
    let
      install =
        key: unit:
        lib.concatMap (
          line: lib.optionals (hasPrefix "${key}=" line) (lib.splitString " " (removePrefix "${key}=" line))
        ) (lib.splitString "\n" (builtins.readFile (root + "/systemd/${unit}")));
    in
    lib.listToAttrs (
      map ({ key }: lib.nameValuePair key (install "WantedBy" key)) (
        lib.genericClosure {
          startSet = [ { key = "e3-agent.service"; } ];
          operator = { key }: map (also: { key = also; }) (install "Also" key);
        }
      )
    );

  # For systemd.packages, services.dbus.packages and systemd.tmpfiles.packages.
  package = pkgs.runCommand "e3-dist" { } (
    lib.concatStrings (
      lib.mapAttrsToList (file: place: ''
        install -Dm444 ${
          pkgs.writeText (baseNameOf (lib.replaceStrings [ "@" ] [ "" ] file)) texts.${file}
        } "$out/${place}"
      '') packaged
    )
  );

  # A drop-in that lets a session see the closure of its Python. Which paths that are is known only when it is built.
  closure =
    pkgs.runCommand "e3-party-python"
      {
        closure = pkgs.buildPackages.closureInfo { rootPaths = [ python ]; };
      }
      ''
        folder=$out/lib/systemd/system/e3-party@.service.d
        mkdir -p "$folder"
        {
          echo "[Service]"
          sort "$closure/store-paths" | sed 's/^/BindReadOnlyPaths=/'
        } > "$folder/10-python.conf"
      '';

  # `u NAME ID "DESCRIPTION" HOME SHELL` of sysusers.d, for users.users.
  user =
    let
      parsed = builtins.match ".*\nu ([a-z0-9]+) - \"([^\"]*)\" ([^ ]+) -\n" texts."sysusers.d/e3.conf";
    in
    if parsed == null then
      throw "agent/dist/sysusers.d/e3.conf is not one line `u NAME - \"DESCRIPTION\" HOME -` any more; change modules/dist.nix"
    else
      {
        name = lib.elemAt parsed 0;
        description = lib.elemAt parsed 1;
        home = lib.elemAt parsed 2;
      };
}
