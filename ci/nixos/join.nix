# A join file that is broken is named with its line; one that is right is taken as soon as it is there, and its token is
# gone afterwards.
{ fleet, ... }:
{
  name = "e3-join";
  nodes = fleet.machines 1;
  testScript = fleet.script ''
    start_all()
    found()
    p0.wait_for_unit("e3-agent.service")
    text = invite(p0)

    with subtest("A broken one is named, and the machine stays up"):
        put(p0, "/etc/e3/e3.toml", text.replace("fleet = ", "fleat = "))
        says(p0, "e3.toml")
        p0.succeed("systemctl is-active e3-agent.service")

    with subtest("A right one is taken without a word"):
        put(p0, "/etc/e3/e3.toml", text)
        enrolled(1)

    with subtest("The token is burnt"):
        p0.wait_until_fails("grep -rq e3-join- /etc/e3 /var/lib/e3", timeout=60)

    with subtest("It is known after a restart"):
        p0.shutdown()
        p0.start()
        p0.wait_for_unit("e3-agent.service")
        says(p0, "ready")
  '';
}
