"""Releases that the fleet's release keys have not signed, or that are not newer. The owner's command does not publish them, so
somebody does who has the hub and a head key.
"""

from .case import INSTALLED, UpdateCase, binary
from .releases import newer


class Foreign(UpdateCase):
    """One machine, which must stay as it is."""

    def refused(self, release, why, runs, files):
        """The owner's command does not publish it; the machine does not take it from others, either, and says so."""
        self.assertNotEqual(self.fleet.e3("release", "push", release, check=False).status, 0)
        head = self.releases.force(release)
        self.until("the head is taken", lambda: self.status().get("head") == head)
        self.assertIn(why, self.until_trouble("refused")["detail"])
        self.until_owner_reads("the release is refused")
        self.assertEqual((self.runs(), self.binaries()), (runs, files))
        self.reboot()
        self.until_runs(runs)
        self.until_trouble("refused")
        self.assertEqual((self.runs(), self.binaries()), (runs, files))

    def test_a_release_that_the_wrong_key_has_signed(self):
        thief = self.releases.another_fleet("thief")
        self.refused(self.releases.sign("0.2.0", newer(1), by=thief), "0 of the accepted keys signed it", INSTALLED, [])
        self.assertEqual(self.remembered(), {})
        # The right one is taken all the same.
        self.until_committed(self.releases.push("0.2.0", newer(1)))

    def test_an_older_release(self):
        good = self.releases.push("0.5.0", newer(1), counter=50)
        self.until_committed(good)
        self.refused(self.releases.sign("0.9.0", newer(2), counter=49), "rollback", binary(good), [good])
        self.until_committed(self.releases.push("0.9.0", newer(2), counter=51))

    def test_a_release_that_is_not_newer_than_what_is_installed(self):
        self.releases.push("0.0.9", newer(1))
        self.until("the release is accepted", lambda: '"subject":"release"' in self.machine.read("/var/lib/e3/journal.jsonl"))
        # One that is newer shows that the agent has done with it.
        good = self.releases.push("0.2.0", newer(2))
        self.until_committed(good)
        self.assertEqual(self.binaries(), [good])
        self.assertIsNone(self.remembered()["previous"])
