# What the machines of the tests share: `e3test.role` makes one the owner's computer, with the hub and the owner's key,
# or a party. The scripts in its path are what a person would type.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.e3test;
  python = config.e3.mpyc.interpreter;
  program = pkgs.writeText "sum.py" ''
    from mpyc.runtime import mpc

    async def main():
        secint = mpc.SecInt(32)
        await mpc.start()
        total = await mpc.output(sum(mpc.input(secint(mpc.pid + 1))))
        print(f"total {total}")
        await mpc.shutdown()

    mpc.run(main())
  '';
  # FLEET, KEY and the hub's folder lie in the owner's home.
  owner = pkgs.writeShellApplication {
    name = "owner";
    runtimeInputs = [
      pkgs.e3
      pkgs.gnused
    ];
    text = ''
      cd /root
      export E3_KEY=/root/key.pem
      case $1 in
      found)
        e3 key new key.pem
        e3 fleet new demo --hub http://owner:8420
        ;;
      invite)
        e3 fleet invite "$2" --fleet demo -o "$2.toml"
        cat "$2.toml"
        ;;
      accept)
        e3 fleet accept --all --fleet demo
        ;;
      session)
        name=$2 program=$3
        e3 session new "$name.toml" --program "$program" --fleet demo
        sed -i 's/^version = .*/version = "0.11"/' "$name.toml"
        e3 session sign "$name.toml" --fleet demo
        e3 session push "$name.session" --fleet demo
        ;;
      *)
        e3 "$@" --fleet demo
        ;;
      esac
    '';
  };
in
{
  options.e3test.role = lib.mkOption {
    type = lib.types.enum [
      "owner"
      "party"
      "none"
    ];
    default = "party";
    description = "What this machine is in the test.";
  };

  config = lib.mkMerge [
    {
      documentation.enable = false;
      # The agent that is built here, not what a fleet released.
      e3.agent.settings.update = lib.mkDefault false;
    }
    (lib.mkIf (cfg.role == "owner") {
      networking.firewall.allowedTCPPorts = [ 8420 ];
      environment.systemPackages = [
        owner
        pkgs.e3
        python
      ];
      environment.etc."e3-test/sum.py".source = program;
      systemd.services.hub = {
        description = "The hub, from the owner's fleet folder";
        unitConfig.ConditionPathExists = "/root/demo/fleet.toml";
        serviceConfig = {
          ExecStart = "${lib.getExe pkgs.e3} hub serve --fleet /root/demo --listen 0.0.0.0:8420";
          Restart = "on-failure";
        };
      };
    })
    (lib.mkIf (cfg.role == "party") {
      e3.agent = {
        enable = true;
        openFirewall = true;
      };
      virtualisation.memorySize = 768;
    })
  ];
}
