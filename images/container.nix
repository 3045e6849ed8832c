# OCI image for podman and docker, rootless: the agent and Python without an init. There is no systemd in it, so the
# agent itself starts sessions (`supervisor = "process"`): the container is their sandbox.
{
  lib,
  cacert,
  dockerTools,
  e3-agent,
  linkFarmFromDrvs,
  python3,
  writeTextDir,
  # MPyC's wheels, each named by its SHA-256.
  mpycStore,
}:
let
  toml = import ../modules/toml.nix { inherit lib; };
  python = python3.withPackages (ps: [
    ps.gmpy2
    ps.numpy
  ]);
  importer = ../agent/dist/share/import/container.toml;
  settings = writeTextDir "etc/e3/agent.toml" (
    toml (
      {
        supervisor = "process";
        python = "${python}/bin/python3";
        stores = [ "${mpycStore}" ];
        # The image is replaced, not the program in it.
        update = false;
      }
      # A variable of the environment, or a file that is mounted.
      // lib.optionalAttrs (lib.pathExists importer) (lib.importTOML importer)
    )
  );
  contents = [
    e3-agent
    settings
    cacert
    dockerTools.fakeNss
  ];
in
dockerTools.buildLayeredImage {
  name = "e3-agent";
  tag = e3-agent.version;
  # `created` stays at 1970: the same image whoever builds it, whenever.
  inherit contents;
  # What is in the store cannot be written to; these can.
  fakeRootCommands = ''
    mkdir -p var/lib/e3 run/e3 tmp
    chown 65534:65534 var/lib/e3 run/e3
    chmod 700 var/lib/e3
    chmod 1777 tmp
  '';
  config = {
    Entrypoint = [ (lib.getExe e3-agent) ];
    Cmd = [ "run" ];
    User = "65534:65534";
    Env = [ "SSL_CERT_FILE=${cacert}/etc/ssl/certs/ca-bundle.crt" ];
    Volumes."/var/lib/e3" = { };
    ExposedPorts."7332/tcp" = { };
    Labels."org.opencontainers.image.source" = "https://github.com/e-nikolov/mpyc";
  };
}
// {
  contents = linkFarmFromDrvs "e3-container-contents" contents;
}
