# An attacker who has taken over the agent's user: what is root's stays root's.
{ fleet, ... }:
{
  name = "e3-wrong-rights";
  nodes = { inherit (fleet.machines 1) p0; };
  testScript = ''
    p0.wait_for_unit("e3-agent.service")
    as_agent = "runuser -u e3 -- "

    with subtest("It cannot change what a session may do"):
        p0.fail(as_agent + "sh -c 'echo > /etc/systemd/system/e3-party@.service'")
        p0.fail(as_agent + "systemctl --no-ask-password edit --runtime --drop-in=x e3-party@.service")
        p0.fail(as_agent + "systemctl --no-ask-password set-property e3-party.slice MemoryMax=infinity")

    with subtest("It cannot lead systemd elsewhere"):
        p0.succeed("systemctl start run-e3party.mount")
        p0.succeed(as_agent + "ln -s /etc/shadow /run/e3party/link")
        p0.fail("cat /run/e3party/link")

    with subtest("It cannot replace the owner's policy"):
        p0.succeed("echo 'publish = false' > /etc/e3/policy.toml")
        p0.fail(as_agent + "rm -f /etc/e3/policy.toml")
        p0.fail(as_agent + "sh -c 'echo > /etc/e3/policy.toml'")

    with subtest("It cannot restart the machine, or load anything"):
        p0.fail(as_agent + "systemctl --no-ask-password reboot")
        p0.fail(as_agent + "nix-env -p /nix/var/nix/profiles/system --set /run/current-system")
  '';
}
