# A release that is signed as it should be and does not work is tried three times, taken back, and named.
{ fleet, pkgs, ... }:
{
  name = "e3-update-rollback";
  nodes = fleet.machines 1 // {
    p0 = {
      imports = [ ./party.nix ];
      e3.agent.settings.update = true;
    };
  };
  testScript = fleet.script ''
    start()
    before = p0.succeed("readlink /proc/$(pgrep -x e3-agent)/exe").strip()
    # A static program that is no agent: it does not know `run`, and ends at once.
    owner.succeed("cp ${pkgs.pkgsStatic.hello}/bin/hello /root/agent")
    owner.succeed("cd /root && e3 release sign bad --version 9.0.0 --binary agent && e3 release push bad")
    says(p0, "release 9.0.0 was started 3 times", seconds=300)
    p0.wait_for_unit("e3-agent.service")
    assert p0.succeed("readlink /proc/$(pgrep -x e3-agent)/exe").strip() == before
    says(p0, "ready")
  '';
}
