# The power fails in a session: the others learn who is gone, and the machine comes back as it was, runs nothing twice and
# is good for the next session.
{ fleet, ... }:
{
  name = "e3-power-cut";
  nodes = fleet.machines 2;
  testScript = fleet.script ''
    start()
    in_the_middle("slow")
    p1.crash()
    p0.wait_until_fails("systemctl is-active 'e3-party@*.service'", timeout=60)
    p1.start()
    p1.wait_for_unit("e3-agent.service")
    for outcome in outcomes("slow"):
        assert '"failed"' in outcome, outcome
    p1.succeed("e3-agent journal verify")
    p1.fail("systemctl is-active 'e3-party@*.service'")
    push("sum")
    assert all('"done"' in outcome for outcome in outcomes("sum")), outcomes("sum")
  '';
}
