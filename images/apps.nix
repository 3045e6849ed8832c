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

  vm = app "The appliance in QEMU; E3_JOIN names its join file" (
    lib.getExe (
      pkgs.writeShellApplication {
        name = "e3-vm";
        runtimeInputs = [ pkgs.coreutils ];
        text = ''
          if [[ -n ''${E3_JOIN:-} ]]; then
            if [[ ! -r $E3_JOIN ]]; then
              echo "E3_JOIN names $E3_JOIN, which cannot be read; make one with: e3 fleet invite NAME -o $E3_JOIN" >&2
              exit 1
            fi
            # What QEMU reads is the credential's name and its text; only its owner may.
            E3_CREDENTIALS=$(mktemp)
            export E3_CREDENTIALS
            trap 'rm -f "$E3_CREDENTIALS"' EXIT
            printf 'io.systemd.credential.binary:e3.join=%s' "$(base64 -w 0 "$E3_JOIN")" > "$E3_CREDENTIALS"
          fi
          ${machine.build.vm}/bin/run-${machine.name}-vm "$@"
        '';
      }
    )
  );

  agent = app "The agent" (lib.getExe pkgs.e3-agent);
}
