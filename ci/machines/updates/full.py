"""A disk without room for an update, which gets room again."""

from .case import AGENT, INSTALLED, UpdateCase, binary
from .releases import newer

STATE = "/var/lib/e3"
# The state folder on a disk of its own, with what was in it.
MOVE = f"""
set -eu
systemctl stop e3-agent.service
cp -a {STATE} /root/before
mount -t tmpfs -o size=32m disk {STATE}
cp -a /root/before/. {STATE}
systemctl start e3-agent.service
"""
# Everything but this many bytes is taken by somebody else.
FILL = f"""
set -eu
head -c $(($(df --output=avail --block-size=1 {STATE} | tail -n 1) - $1)) /dev/zero >{STATE}/blobs/others
"""


class SmallDisk(UpdateCase):
    """One machine, whose state folder is on a small disk."""

    def setUp(self):
        super().setUp()
        self.machine.run(["sh", "-c", MOVE])
        self.until_runs(INSTALLED)

    def fill(self, left):
        """Leaves so many bytes."""
        self.machine.run(["sh", "-c", FILL, "sh", str(left)])

    def make_room(self):
        """Somebody removes what is in the way."""
        self.machine.run(["rm", f"{STATE}/blobs/others"])


class Full(SmallDisk):
    """The disk is full when a release comes."""

    def test_no_room_for_the_binary(self):
        self.fill(1 << 20)
        file = self.releases.push("0.2.0", newer(1))
        said = self.until_trouble("not-fetched")
        self.assertIn("No space left on device", said["detail"])
        self.until_owner_reads("release 0.2.0 cannot be fetched")
        self.assertEqual((self.runs(), self.show("NRestarts")), (INSTALLED, "0"))
        self.until("half of it does not stay", lambda: not self.binaries())
        self.make_room()
        self.until_committed(file)

    def test_no_room_for_anything(self):
        self.fill(0)
        file = self.releases.push("0.2.0", newer(1))
        self.until("the agent says so", lambda: "No space left on device" in str(self.status()))
        self.until("the owner reads it", lambda: "No space left" in self.fleet.e3("fleet", "status").out)
        self.assertEqual((self.runs(), self.show("NRestarts")), (INSTALLED, "0"))
        self.make_room()
        self.until_committed(file)


class FullInTheTrial(SmallDisk):
    """The disk is full when a trial is under way."""

    trial_seconds = 8

    def test_no_room_to_note_that_it_has_proved_itself(self):
        file = self.releases.push("0.2.0", newer(1))
        self.until_runs(binary(file), "it is on trial")
        self.fill(0)
        self.until("the trial is over", lambda: "the end of a trial cannot be noted yet" in self.machine.journal(AGENT))
        self.assertEqual(self.runs(), binary(file))
        self.make_room()
        self.until_committed(file)
        self.assertEqual(self.tries(file), 1)

    def test_no_room_to_count_a_start(self):
        file = self.releases.push("0.2.0", newer(1))
        self.until_runs(binary(file), "it is on trial")
        self.fill(0)
        self.machine.kill(AGENT)
        # What cannot be counted is not tried.
        self.until("the installed one runs, and says why",
                   lambda: self.runs() == INSTALLED and "No space left" in str(self.status()))
        self.until("it was not begun", lambda: "the state of updates cannot be written" in self.machine.journal(AGENT))
        self.make_room()
        self.until_committed(file)
        self.assertEqual(self.tries(file), 2)
