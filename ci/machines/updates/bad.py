"""Releases that pass every check, and whose binaries then do not work."""

from . import programs
from .case import INSTALLED, UpdateCase, binary
from .programs import program
from .releases import newer

STARTS = 3
# Three starts: each as long as systemd waits (6 s), and 10 s more for one that does not end when it is asked to.
SECONDS = 120


class Bad(UpdateCase):
    """One machine; what it had before must run again."""

    def taken_back(self, bad, good):
        """The bad release is tried and given up: `good` runs again, also after a loss of power, and everybody can read why."""
        file = self.releases.push("0.3.0", bad)
        said = self.until_trouble("failed", SECONDS)
        self.assertEqual((said["version"], said["starts"]), ("0.3.0", STARTS))
        self.until_runs(good)
        self.until_owner_reads("release 0.3.0 was started 3 times and did not prove itself; it was taken back")
        self.assertEqual(self.tries(file), STARTS)
        self.until("its file is removed", lambda: file not in self.binaries())
        self.reboot()
        self.until_runs(good)
        self.until_trouble("failed")
        self.until_owner_reads("release 0.3.0 was started 3 times")
        # The same binary under another name.
        self.releases.push("0.4.0", bad)
        self.until_trouble("known-bad")
        self.assertEqual((self.tries(file), self.runs()), (STARTS, good))
        self.assertNotIn(file, self.binaries())
        # And the machine is none the worse for it.
        self.until_committed(self.releases.push("0.4.1", newer(41)))

    def test_one_that_crashes_at_start(self):
        self.taken_back(program(programs.CRASHES), INSTALLED)

    def test_one_that_crashes_at_start_after_one_that_works(self):
        good = self.releases.push("0.2.0", newer(1))
        self.until_committed(good)
        self.taken_back(program(programs.CRASHES), binary(good))

    def test_one_that_ends_at_once(self):
        self.taken_back(program(programs.ENDS_AT_ONCE), INSTALLED)

    def test_one_that_never_gets_ready(self):
        self.taken_back(program(programs.HANGS), INSTALLED)
        # First in a process that was ready, then in new ones.
        journal = self.machine.journal("e3-agent.service")
        self.assertIn("Watchdog timeout", journal)
        self.assertIn("start operation timed out", journal)

    def test_one_that_falls_asleep_after_it_was_ready(self):
        good = self.releases.push("0.2.0", newer(1))
        self.until_committed(good)
        self.taken_back(program(programs.FALLS_ASLEEP), binary(good))
        self.assertGreaterEqual(self.machine.journal("e3-agent.service").count("Watchdog timeout"), STARTS)

    def test_systemd_is_not_patient_with_one_that_never_gets_ready(self):
        # What is installed, without the tests' own times.
        self.machine.run(["rm", "/etc/systemd/system/e3-agent.service.d/quick.conf"])
        self.machine.run(["systemctl", "daemon-reload"])
        self.machine.run(["systemctl", "restart", "e3-agent.service"])
        self.assertEqual((self.show("TimeoutStartUSec"), self.show("WatchdogUSec")), ("30s", "2min"))
