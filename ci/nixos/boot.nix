# A party that has no join file yet comes up, says so, and has no more rights than agent/dist gives it.
{
  name = "e3-boot";
  nodes.p0 = { };
  testScript = ''
    p0.wait_for_unit("multi-user.target")
    p0.wait_for_unit("e3-agent.service")

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
        p0.wait_until_succeeds("test -s /run/e3/issue", timeout=30)
        p0.succeed("e3-agent status")

    with subtest("Nothing has failed"):
        p0.succeed("systemctl is-system-running --wait")
  '';
}
