# A machine that loses its network in a session ends it for the others within seconds, by its name.
{ fleet, ... }:
{
  name = "e3-network-cut";
  nodes = fleet.machines 3;
  testScript = fleet.script ''
    start()
    in_the_middle("slow")
    p2.block()
    for machine in (p0, p1):
        machine.wait_until_fails("systemctl is-active 'e3-party@*.service'", timeout=60)
    p2.unblock()
    for outcome in outcomes("slow")[:2]:
        assert '"failed"' in outcome and '"party": 2' in outcome, outcome
  '';
}
