# The appliance base: nothing listens but the agent, nobody has a password, nothing has failed, and the agent has no more
# rights than agent/dist gives it.
{ fleet, ... }:
{
  name = "e3-appliance";
  nodes = { inherit (fleet.machines 1) p0; };
  testScript = ''
    p0.wait_for_unit("multi-user.target")
    p0.wait_for_unit("e3-agent.service")

    with subtest("Nothing has failed"):
        p0.succeed("systemctl is-system-running --wait")

    with subtest("Nobody has a password, and there is no ssh"):
        p0.fail("cut -d: -f2 /etc/shadow | grep -vxE '[!*]+'")
        p0.fail("systemctl cat sshd.service")

    with subtest("Only the agent listens"):
        ports = set(p0.succeed("ss -Htln | awk '{print $4}' | grep -v -e '^127' -e '^.::1' | sed 's/.*://'").split())
        assert ports == {"7332"}, ports

    with subtest("The agent is its own user, without a capability"):
        assert p0.succeed("ps -o user= -C e3-agent").strip() == "e3"
        assert "CapEff:\t0000000000000000" in p0.succeed("cat /proc/$(pgrep -x e3-agent)/status")

    with subtest("It may start its own units, and no other"):
        p0.fail("runuser -u e3 -- systemctl --no-ask-password stop dbus.service")
        p0.fail("runuser -u e3 -- systemd-run --no-ask-password true")
        # Nobody has laid out that session, so its unit fails; but not for want of the right to start it.
        job = "e3-party@" + "0" * 32
        error = p0.fail(f"runuser -u e3 -- systemctl --no-ask-password start {job} 2>&1")
        assert "authentication" not in error.lower() and "denied" not in error.lower(), error
        p0.succeed(f"systemctl reset-failed {job}")

    with subtest("The console says that the machine waits for its join file"):
        p0.wait_until_succeeds("grep -q 'waiting for a join file' /run/e3/issue", timeout=60)

    with subtest("A session's Python is in what a session may see"):
        python = p0.succeed("systemctl show -P ExecStart 'e3-party@0.service'").split("path=")[1].split()[0]
        seen = p0.succeed("systemctl cat 'e3-party@0.service' | grep '^BindReadOnlyPaths=/nix/store/'").split()
        assert any(python.startswith(path.split("=")[1] + "/") for path in seen), (python, seen)
  '';
}
