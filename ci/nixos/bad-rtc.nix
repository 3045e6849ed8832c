# A board without a battery begins in 1970. It joins and computes all the same: the newest signed time is its floor.
{ fleet, ... }:
{
  name = "e3-bad-rtc";
  nodes = fleet.machines 2 // {
    p1 = {
      imports = [ ./party.nix ];
      virtualisation.qemu.options = [ "-rtc base=1970-01-02T00:00:00,clock=vm" ];
    };
  };
  testScript = fleet.script ''
    start()
    assert p1.succeed("date +%Y").strip() == "1970"
    push("sum")
    assert all('"done"' in outcome for outcome in outcomes("sum")), outcomes("sum")
    assert p1.succeed("date +%Y").strip() == "1970", "nobody has set its clock"
  '';
}
