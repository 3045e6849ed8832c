# One program of the workspace as a package: `crate` is e3-agent, e3-link or e3-cli.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  crate ? "e3-agent",
}:
let
  fs = lib.fileset;
  manifest = lib.importTOML ../Cargo.toml;
  isCommand = crate == "e3-cli";
  program = if isCommand then "e3" else crate;
  descriptions = {
    e3-agent = "Carries out its owner's part of secure multiparty computations";
    e3-link = "The mesh that is built into E3, and its relay";
    e3-cli = "The command of an owner of E3 machines";
  };
in
rustPlatform.buildRustPackage {
  pname = program;
  inherit (manifest.workspace.package) version;

  __structuredAttrs = true;
  strictDeps = true;

  # Only what can change the binary: a unit, a module or the README never rebuilds it.
  src = fs.toSource {
    root = ../.;
    fileset = fs.unions [
      ../Cargo.toml
      ../Cargo.lock
      (fs.fileFilter (file: file.name == "Cargo.toml" || file.hasExt "rs") ./.)
      # Compiled in, or read while compiling: ci/eval/compiled.py says what is missing.
      ./daemon/no-unwind.ld
      ./daemon/src/gate/gate.py
      ./daemon/src/dbus/org.e3.Agent1.xml
      ./cli/programs
      (fs.fileFilter (file: file.hasExt "py" || file.hasExt "html") ./cli/src)
      ./core/src/key/words.txt
      ./hub/src/page
      ./image/src/windows.ps1
      ./core/schemas
      # Installed with it.
      ./dist/share/man
    ];
  };

  # One fetch per crate, with the lock's own hashes: nothing to refresh after `cargo update`.
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [
    "--package"
    crate
  ];
  # What needs a bus, Python or a network is tested by ci/test; here, that the rules hold with this compiler.
  cargoTestFlags = [
    "--package"
    "e3-core"
    "--lib"
  ];

  # Messages must not depend on where it was built.
  env.RUSTFLAGS = "--remap-path-prefix=/build=/e3";

  nativeBuildInputs = [ installShellFiles ];
  postInstall =
    lib.optionalString (crate == "e3-agent") ''
      installManPage agent/dist/share/man/man1/*
    ''
    + lib.optionalString (isCommand && stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
      $out/bin/e3 man man
      installManPage man/*
      for shell in bash fish zsh; do
        $out/bin/e3 completions $shell > e3.$shell
      done
      installShellCompletion e3.{bash,fish,zsh}
    '';

  meta = {
    description = descriptions.${crate};
    homepage = "https://github.com/e-nikolov/mpyc";
    license = with lib.licenses; [
      mit
      asl20
    ];
    mainProgram = program;
    platforms = lib.platforms.linux;
  };
}
