# What `nix run .#NAME` starts: the demo, the appliance in QEMU, the agent.
{ pkgs, configurations }:
let
  inherit (pkgs) lib;
  own = if pkgs.stdenv.hostPlatform.isx86_64 then "vm" else "vm-aarch64";
  machine = configurations.${own}.config.system;
  python = pkgs.python3.withPackages (ps: [
    ps.gmpy2
    ps.numpy
  ]);
  app = description: program: {
    type = "app";
    inherit program;
    meta = { inherit description; };
  };
in
rec {
  default = demo;

  demo = app "A whole fleet on this computer, one computation, signed receipts" (
    lib.getExe (
      pkgs.writeShellApplication {
        name = "e3-demo";
        runtimeInputs = [
          pkgs.e3
          pkgs.e3-agent
          python
        ];
        text = ''
          export E3_PYTHON=${lib.getExe python} E3_AGENT=${lib.getExe pkgs.e3-agent}
          exec e3 demo "$@"
        '';
      }
    )
  );

  vm = app "The appliance in QEMU, with a fleet of its own; or E3_JOIN names its join file" (
    lib.getExe (
      pkgs.writeShellApplication {
        name = "e3-vm";
        runtimeInputs = [
          pkgs.coreutils
          pkgs.e3
          pkgs.gnugrep
        ];
        runtimeEnv = {
          E3_VM = "${machine.build.vm}/bin/run-${machine.name}-vm";
          E3_WHEEL = "${pkgs.mpyc-wheels."0.11"}";
        };
        text = "exec ${pkgs.runtimeShell} ${./vm.sh} \"$@\"";
      }
    )
  );

  agent = app "The agent" (lib.getExe pkgs.e3-agent);
}
