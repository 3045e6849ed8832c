# A program that the owner has signed by mistake: what it can reach of the machine it runs on.
{ fleet, pkgs, ... }:
let
  hostile = pkgs.writeText "hostile.py" ''
    import os
    import socket

    from mpyc.runtime import mpc


    def tried(what, f):
        try:
            f()
        except OSError:
            return f"{what} refused"
        return f"{what} REACHED"


    async def main():
        await mpc.start()
        print(tried("state", lambda: os.listdir("/var/lib/e3")))
        print(tried("settings", lambda: os.listdir("/etc/e3")))
        print(tried("passwords", lambda: open("/etc/shadow")))
        print(tried("bus", lambda: os.stat("/run/dbus/system_bus_socket")))
        print(tried("system", lambda: os.listdir("/run/current-system")))
        print(tried("store", lambda: open("/nix/store/reached", "w")))
        print(tried("hub", lambda: socket.create_connection(("192.168.1.1", 8420), 5)))
        await mpc.shutdown()


    mpc.run(main())
  '';
in
{
  name = "e3-sandbox";
  nodes = fleet.machines 2 // {
    owner = {
      imports = [ ./owner.nix ];
      environment.etc."e3-hostile.py".source = hostile;
    };
  };
  testScript = fleet.script ''
    start()
    # The hub can be reached from the machine itself, so that a refusal means something.
    hub = p0.succeed("getent ahostsv4 owner").split()[0]
    p0.succeed("curl -sS -o /dev/null http://owner:8420/")
    owner.succeed("mkdir -p /root/sessions")
    owner.succeed(f"sed 's/192.168.1.1/{hub}/' /etc/e3-hostile.py > /root/sessions/hostile.py")
    push("hostile", program="hostile.py")
    assert all('"done"' in outcome for outcome in outcomes("hostile")), outcomes("hostile")
    for machine in parties():
        said = machine.succeed("e3-agent result hostile")
        assert said.count("refused") == 7 and "REACHED" not in said, said
  '';
}
