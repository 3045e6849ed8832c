"""A machine is a real one: systemd, D-Bus, polkit; it loses what a power cut loses, and keeps what it has written."""

from ..machine import CommandFailed
from .case import PORT, LabCase

LOCAL = "127.0.0.1"


class Machines(LabCase):
    """One machine by itself."""

    machines = 1

    def setUp(self):
        self.p0 = self.lab["p0"]

    def test_systemd_is_process_1_and_nothing_has_failed(self):
        self.assertEqual(self.p0.read("/proc/1/comm"), "systemd\n")
        self.assertEqual(self.p0.state(), "running")

    def test_it_boots_in_less_than_three_seconds(self):
        self.assertLess(self.lab.booted["p0"], 3)

    def test_polkit_refuses_a_user_what_root_may(self):
        self.p0.run(["systemctl", "restart", "systemd-logind"])
        refused = self.p0.run(["systemctl", "--no-ask-password", "restart", "systemd-logind"], user="nobody", check=False)
        self.assertIn("authentication required", refused.err)

    def test_a_unit_cannot_reach_an_address_that_is_denied_to_it(self):
        self.serve("p0")
        connect = f"import socket; socket.create_connection(('{LOCAL}', {PORT}), 2)"
        unit = ["systemd-run", "--quiet", "--wait", "--collect", "--property=IPAddressDeny=any"]
        self.assertTrue(self.p0.succeeds([*unit, f"--property=IPAddressAllow={LOCAL}", "python3", "-c", connect]))
        self.assertFalse(self.p0.succeeds([*unit, "python3", "-c", connect]))

    def test_a_command_that_fails_says_so(self):
        with self.assertRaisesRegex(CommandFailed, "p0: `sh -c .* ended with status 3: that was it"):
            self.p0.run(["sh", "-c", "echo that was it >&2; exit 3"])

    def test_a_command_that_hangs_ends(self):
        self.assertEqual(self.p0.run(["sleep", "1000"], seconds=1, check=False).status, 124)
        self.assertFalse(self.p0.succeeds(["pgrep", "-x", "sleep"]))

    def test_killed_units_die_at_once(self):
        self.p0.run(["systemd-run", "--quiet", "--unit=victim", "sleep", "1000"])
        self.addCleanup(self.p0.run, ["systemctl", "reset-failed"])
        self.p0.kill("victim.service")
        self.p0.run(["sh", "-c", "while systemctl --quiet is-active victim; do :; done"], seconds=10)
        self.assertIn("status=9/KILL", self.p0.journal("victim"))


class Power(LabCase):
    """What a power cut does."""

    machines = 1

    def test_a_power_cut_takes_what_is_in_memory_and_leaves_what_was_synced(self):
        p0 = self.lab["p0"]
        p0.write("/run/volatile", "gone")
        p0.write("/var/lib/persistent", "kept")
        p0.run(["sync", "/var/lib/persistent"])
        p0.run(["systemd-run", "--quiet", "sleep", "1000"])
        before = p0.read("/proc/sys/kernel/random/boot_id"), p0.read("/etc/machine-id")

        p0.power_cut()
        self.assertEqual(p0.state(), "off")
        self.assertEqual(self.lab.group.child("p0").pids(), [])
        self.assertEqual(p0.read("/var/lib/persistent"), "kept", "its disk can be read while it is off")

        self.lab.boot(["p0"])
        self.assertEqual(p0.state(), "running")
        self.assertEqual(p0.read("/var/lib/persistent"), "kept")
        self.assertFalse(p0.succeeds(["test", "-e", "/run/volatile"]))
        self.assertFalse(p0.succeeds(["pgrep", "-x", "sleep"]))
        self.assertEqual(p0.read("/etc/machine-id"), before[1])
        # It was not shut down: the journal of the boot before breaks off, and there are two of them.
        boots = p0.run(["journalctl", "--list-boots", "--quiet", "--output=json"]).out
        self.assertEqual(boots.count("boot_id"), 2)
        self.assertNotIn("Reached target shutdown", p0.journal())

    def test_power_can_be_cut_again_and_again(self):
        for _ in range(5):
            self.lab["p0"].power_cut()
            self.lab.boot(["p0"])
        self.assertEqual(self.lab["p0"].state(), "running")
