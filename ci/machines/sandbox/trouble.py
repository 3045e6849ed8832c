"""The bus, systemd, polkit, the unit or the agent goes away: in the middle of a session, or before one."""

import unittest

from .sessions import until
from .case import AGENT, QUICK, SLOW, FleetCase

UNIT = "/usr/lib/systemd/system/e3-party@.service"
INSTALLED = ["/usr/lib/systemd/system/polkit.service", "/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service"]
RULE = "/usr/share/polkit-1/rules.d/50-e3.rules"


class Trouble(FleetCase):
    """Two machines; the trouble is p0's."""

    def setUp(self):
        # Together the tests start these more often in ten seconds than systemd lets them be started.
        self.p0.run(["systemctl", "reset-failed", "polkit.service", "dbus.socket", "dbus.service"])

    def tearDown(self):
        # Whatever it was, it is over, and nobody had to help the agent.
        self.assert_good(self.fleet.run(QUICK))
        self.assert_nothing_left()

    def in_the_middle(self, *commands):
        """Runs commands on p0 while a session runs; returns what became of the session."""
        name = self.fleet.push(SLOW)
        self.running_unit()
        for command in commands:
            self.p0.run(command)
        return self.fleet.watch(name)

    def test_a_restart_of_the_bus_in_the_middle(self):
        self.assert_good(self.in_the_middle(["systemctl", "restart", "dbus.service"]))

    def test_systemd_executed_anew_in_the_middle(self):
        self.assert_good(self.in_the_middle(["systemctl", "daemon-reexec"]))

    def test_units_read_anew_in_the_middle(self):
        self.assert_good(self.in_the_middle(["systemctl", "daemon-reload"]))

    def test_a_restart_of_polkit_in_the_middle(self):
        self.assert_good(self.in_the_middle(["systemctl", "restart", "polkit.service"]))

    def test_the_agent_killed_in_the_middle_takes_its_session_with_it(self):
        verdict = self.in_the_middle(["systemctl", "kill", "--signal=KILL", AGENT])
        self.assert_failed(verdict, "'party': 0")
        self.assertEqual(self.units(), [])

    def test_the_program_killed_in_the_middle(self):
        verdict = self.in_the_middle(["systemctl", "kill", "--signal=KILL", "e3-party@*.service"])
        self.assert_failed(verdict, "'party': 0", "'kind': 'killed'", "'signal': 9")

    def test_the_program_stopped_by_systemd_in_the_middle(self):
        verdict = self.in_the_middle(["systemctl", "stop", "e3-party@*.service"])
        self.assert_failed(verdict, "'party': 0", "'kind': 'killed'", "'signal': 15")

    def is_degraded(self, *words):
        """Whether it says that programs cannot be started, with these words."""
        phase = (self.status() or {}).get("phase", {})
        return phase.get("reason", {}).get("kind") == "supervisor" and all(word in str(phase) for word in words)

    def started_without(self, take, give, *words):
        """Starts p0's agent with something taken away: it says so before any session, in its status and to its fleet, and
        no longer than that lasts. Nobody starts it again."""
        self.p0.run(["systemctl", "stop", AGENT])
        self.p0.run(["sh", "-c", take])
        try:
            self.p0.run(["systemctl", "start", AGENT])
            until(f"it says {words}", lambda: self.is_degraded(*words))
            pid = self.show(AGENT, "MainPID")
            screen = self.p0.run(["e3-agent", "status"]).out
            self.assertIn("degraded: programs cannot be started", screen)
            self.assertIn("Check that D-Bus runs, and that E3's units and polkit rule are installed", screen)
            until("its fleet knows", lambda: "supervisor" in str(self.fleet.e3("fleet", "status")))
        finally:
            self.p0.run(["sh", "-c", give])
        until("it is ready again", lambda: self.status()["phase"]["name"] == "ready", 10)
        self.assertEqual(self.show(AGENT, "MainPID"), pid)

    def test_started_without_a_bus(self):
        # polkit too: one that dies of the bus while the next bus asks for it is not started for 25 s, by dbus' own patience.
        self.started_without("systemctl stop polkit.service dbus.socket dbus.service", "systemctl start dbus.socket dbus.service",
                             "is dbus running")

    def test_started_without_the_unit(self):
        self.started_without(f"mv {UNIT} /root && systemctl daemon-reload",
                             f"mv /root/e3-party@.service {UNIT} && systemctl daemon-reload", "e3-party@", "not-found")

    def test_started_without_the_rule(self):
        # polkit sees by itself that its rules have changed, and says so.
        self.started_without(f"mv {RULE} /root && systemctl restart polkit.service", f"mv /root/50-e3.rules {RULE}",
                             "does not let this user", "50-e3.rules")

    def test_started_without_polkit(self):
        self.started_without("systemctl mask --runtime --now polkit.service", "systemctl unmask --runtime polkit.service",
                             "does not let this user", "is polkit running")

    def test_a_polkit_that_systemd_does_not_start_any_more(self):
        # As one that crashes again and again. dbus waits for it, and whoever asks waits for dbus.
        self.p0.run(["sh", "-c", "while systemctl restart polkit.service; do :; done"])
        self.assertEqual(self.show("polkit.service", "Result"), "start-limit-hit")
        until("it says so", lambda: self.is_degraded("is polkit running"))
        until("it is ready again", lambda: self.status()["phase"]["name"] == "ready")

    def test_a_unit_that_goes_while_nothing_runs(self):
        self.p0.run(["sh", "-c", f"mv {UNIT} /root && systemctl daemon-reload"])
        until("it says so", lambda: self.is_degraded("not-found"))
        self.p0.run(["sh", "-c", f"mv /root/e3-party@.service {UNIT} && systemctl daemon-reload"])
        until("it is ready again", lambda: self.status()["phase"]["name"] == "ready", 10)

    def test_no_unit(self):
        self.p0.run(["mv", UNIT, "/root"])
        self.p0.run(["systemctl", "daemon-reload"])
        verdict = self.fleet.run(QUICK)
        self.p0.run(["mv", "/root/e3-party@.service", UNIT])
        self.p0.run(["systemctl", "daemon-reload"])
        self.assert_failed(verdict, "'party': 0", "e3-party@", "install E3")

    def test_no_rule(self):
        self.p0.run(["mv", RULE, "/root"])
        self.p0.run(["systemctl", "restart", "polkit.service"])
        verdict = self.fleet.run(QUICK)
        self.p0.run(["mv", "/root/50-e3.rules", RULE])
        self.p0.run(["systemctl", "restart", "polkit.service"])
        self.assert_failed(verdict, "'party': 0", "does not let this user", "50-e3.rules")

    def test_polkit_that_is_not_installed(self):
        for path in INSTALLED:
            self.p0.run(["mv", path, "/root"])
        self.p0.run(["systemctl", "daemon-reload"])
        self.p0.run(["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig"])
        self.p0.run(["systemctl", "stop", "polkit.service"], check=False)
        verdict = self.fleet.run(QUICK)
        for path in INSTALLED:
            self.p0.run(["mv", "/root/" + path.rpartition("/")[2], path])
        self.p0.run(["systemctl", "daemon-reload"])
        self.p0.run(["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig"])
        self.assert_failed(verdict, "'party': 0", "does not let this user", "is polkit running")

    def test_polkit_that_does_not_start(self):
        self.p0.run(["systemctl", "mask", "--runtime", "--now", "polkit.service"])
        verdict = self.fleet.run(QUICK)
        self.p0.run(["systemctl", "unmask", "--runtime", "polkit.service"])
        self.assert_failed(verdict, "'party': 0", "does not let this user", "is polkit running")

    def test_no_bus(self):
        self.p0.run(["systemctl", "stop", "polkit.service", "dbus.socket", "dbus.service"])
        verdict = self.fleet.run(QUICK)
        self.p0.run(["systemctl", "start", "dbus.socket", "dbus.service"])
        self.assert_failed(verdict, "'party': 0", "is dbus running")

    def test_a_folder_that_is_not_mounted(self):
        self.p0.run(["umount", "--lazy", "/run/e3party"])
        verdict = self.fleet.run(QUICK)
        self.p0.run(["systemctl", "start", "run-e3party.mount"])
        self.p0.run(["systemctl", "restart", AGENT])
        self.assert_failed(verdict, "'party': 0", "run-e3party.mount")

    def test_a_session_that_fails_elsewhere_while_its_unit_starts(self):
        # polkit is asked before systemd starts it, and takes its time.
        p1 = self.lab["p1"]
        p1.run(["systemctl", "kill", "--signal=STOP", "polkit.service"])
        self.p0.run(["umount", "--lazy", "/run/e3party"])
        name = self.fleet.push(QUICK)
        until("p1 has heard that it failed", lambda: "failed: party 0" in p1.journal(AGENT))
        p1.run(["systemctl", "kill", "--signal=CONT", "polkit.service"])
        self.assert_failed(self.fleet.watch(name), "'party': 0", "run-e3party.mount")
        self.p0.run(["systemctl", "start", "run-e3party.mount"])
        self.p0.run(["systemctl", "restart", AGENT])

    def test_a_join_file_that_is_changed_often(self):
        # Somebody tries until it works: each one is given to the agent, the last one as the first.
        path = "/etc/e3/e3.toml"
        kept = self.p0.run(["cat", path]).out
        for turn in range(8):
            self.p0.run(["rm", "-f", path])
            self.p0.write(path, f"# {turn}\n{kept}")
            until("it is the agent's", lambda turn=turn: self.p0.read("/var/lib/e3/e3.toml").startswith(f"# {turn}\n"))
        self.assertNotIn("failed", self.p0.run(["systemctl", "is-failed", "e3-import.path", "e3-import.service"], check=False).out)

    def test_an_agent_that_stands_still_is_started_again(self):
        drop_in = f"/run/systemd/system/{AGENT}.d/watchdog.conf"
        self.p0.write(drop_in, "[Service]\nWatchdogSec=2s\n")
        self.p0.run(["systemctl", "daemon-reload"])
        self.p0.run(["systemctl", "restart", AGENT])
        before = self.show(AGENT, "MainPID")
        self.p0.run(["kill", "-STOP", before])
        until("systemd starts it again", lambda: self.show(AGENT, "MainPID") not in (before, "0"))
        self.assertIn("Watchdog timeout", self.p0.journal(AGENT))
        self.p0.run(["rm", drop_in])
        self.p0.run(["systemctl", "daemon-reload"])
        self.p0.run(["systemctl", "restart", AGENT])
