# The hub as a module: from a folder without keys, as its own user; and it goes away in a session that goes on.
{ fleet, ... }:
{
  name = "e3-hub";
  nodes = fleet.machines 2 // {
    hub = {
      e3.hub = {
        enable = true;
        fleet = "/var/lib/e3-hub/demo";
        listen = "0.0.0.0:8420";
      };
    };
  };
  testScript = fleet.script ''
    start_all()
    owner.wait_for_unit("multi-user.target")
    owner.succeed("cd /root && e3 key new key.pem && env -u E3_FLEET e3 fleet new demo --hub http://hub:8420")
    # What the hub needs, and no key.
    packed = owner.succeed("cd /root && tar -c --exclude=keys --exclude='*.pem' demo | base64 -w 0")
    hub.succeed(f"mkdir -p /var/lib/e3-hub && echo {packed} | base64 -d | tar -x -C /var/lib/e3-hub")
    hub.succeed("systemctl restart e3-hub.service")
    hub.wait_for_open_port(8420)
    hub.fail("grep -rl 'PRIVATE KEY' /var/lib/e3-hub/")
    assert hub.succeed("ps -o user= -C e3").strip() not in ("root", "")

    for machine in parties():
        machine.wait_for_unit("e3-agent.service")
        put(machine, "/etc/e3/e3.toml", invite(machine))
    enrolled(2)
    in_the_middle("slow")
    hub.succeed("systemctl stop e3-hub.service")
    for machine in parties():
        machine.succeed("sleep 30; systemctl is-active 'e3-party@*.service'")
  '';
}
