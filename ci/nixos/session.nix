# Three machines compute together; each runs the program in the unit that is in its image.
{ fleet, ... }:
{
  name = "e3-session";
  nodes = fleet.machines 3;
  testScript = fleet.script ''
    start()
    push("sum", more='equal = ["stdout"]')

    with subtest("Everybody is done, and the receipts agree"):
        assert all('"done"' in outcome for outcome in outcomes("sum")), outcomes("sum")
        owner.succeed("e3 receipts verify sum")

    with subtest("Everybody has the result, and nobody else"):
        for machine in parties():
            assert machine.succeed("e3-agent result sum").strip() == "total 6"
        owner.fail("grep -rq 'total 6' /root/demo")

    with subtest("It ran in a unit of the image, and none is left"):
        for machine in parties():
            machine.succeed("journalctl --grep 'Started e3-party@[0-9a-f]{32}.service'")
            machine.wait_until_fails("systemctl is-active 'e3-party@*.service'", timeout=30)
            machine.succeed("e3-agent journal verify")
  '';
}
