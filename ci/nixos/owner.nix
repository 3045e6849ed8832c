# The owner's computer in the tests: `e3`, the hub from the owner's folder, and MPyC's wheel, since there is no network.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  environment.systemPackages = [
    pkgs.e3
    pkgs.jq
  ];
  environment.variables = {
    E3_KEY = "/root/key.pem";
    E3_FLEET = "/root/demo";
  };
  environment.etc."e3-test/mpyc-0.11-py3-none-any.whl".source = pkgs.mpyc-wheels."0.11";
  environment.etc."e3-test/sum.py".text = ''
    from mpyc.runtime import mpc


    async def main():
        secint = mpc.SecInt(32)
        await mpc.start()
        total = await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))
        print(f"total {total}")
        await mpc.shutdown()


    mpc.run(main())
  '';
  # Long enough for something to happen to it.
  environment.etc."e3-test/slow.py".text = ''
    import asyncio

    from mpyc.runtime import mpc


    async def main():
        secint = mpc.SecInt(32)
        await mpc.start()
        for _ in range(600):
            await mpc.output(mpc.input(secint(1), senders=0))
            await asyncio.sleep(0.2)
        await mpc.shutdown()


    mpc.run(main())
  '';

  networking.firewall.allowedTCPPorts = [ 8420 ];
  systemd.services.hub = {
    description = "The hub, from the owner's folder";
    serviceConfig = {
      ExecStart = "${lib.getExe pkgs.e3} hub serve --fleet /root/demo --listen 0.0.0.0:8420";
      WorkingDirectory = "/root";
    };
  };
  assertions = [
    {
      assertion = !config.e3.agent.enable;
      message = "In the tests the owner's computer is no party.";
    }
  ];
}
