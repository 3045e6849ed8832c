# What users write, evaluated: a hive from a hosts file and from OpenTofu's output, the template, and configurations
# with a mistake in them, each of which has to be refused with a remedy. Each example is a text.
{
  lib,
  self,
  pkgs,
}:
let
  hive = data: self.lib.colmenaHive (self.lib.hive { inherit data; });
  template = (import ../../images/template/flake.nix).outputs {
    self = template;
    e3 = self;
  };
  mistakes = import ./mistakes.nix { inherit lib pkgs; };
in
{
  hive-file =
    builtins.toJSON
      (hive {
        hosts.alice = {
          address = "192.0.2.1";
          tags = [ "amsterdam" ];
        };
      }).deploymentConfig;
  hive-tofu =
    (
      (hive {
        hosts = {
          sensitive = false;
          type = "list";
          value = [
            {
              name = "alice";
              address = "192.0.2.1";
            }
          ];
        };
      }).evalSelectedDrvPaths
      [ "alice" ]
    ).alice;
  # The image of a machine is the one that has no name of its own.
  machine-qemu =
    let
      inherit
        (self.lib.machine {
          image = "qemu";
          modules = [ { networking.hostName = "alice"; } ];
        })
        config
        ;
    in
    assert config.networking.hostName == "alice";
    config.system.build.image.drvPath;
  template = template.packages.x86_64-linux.alice.drvPath;
  hosts = import ./hosts.nix { inherit lib; };
  inherit mistakes;
}
