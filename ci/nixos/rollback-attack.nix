# Rule 5: a hub that shows an older head again is refused, also after a restart, and the machine says why.
{ fleet, ... }:
{
  name = "e3-rollback-attack";
  nodes = fleet.machines 1;
  testScript = fleet.script ''
    start()
    owner.succeed("cp -a /root/demo/hub /root/older")
    owner.succeed("e3 hub renew")
    newest = owner.succeed("sha256sum /root/demo/hub/head.json").split()[0]
    p0.succeed("systemctl restart e3-agent.service")
    says(p0, "ready")

    owner.succeed("systemctl stop hub && cp /root/older/head.json /root/demo/hub/head.json && systemctl start hub")
    assert owner.succeed("sha256sum /root/demo/hub/head.json").split()[0] != newest
    p0.succeed("systemctl restart e3-agent.service")
    says(p0, "which was accepted before (rollback)")
    p0.succeed("e3-agent journal verify")
  '';
}
