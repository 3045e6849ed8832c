"""A disk that keeps the agent waiting in the middle of a session: an ext4 that is frozen for a while."""

import subprocess
import sys
import time
from contextlib import contextmanager

from .case import AGENT, QUICK, SLOW, FleetCase
from .sessions import until

STATE = "/var/lib/e3"
BYTES = 64 << 20
# A party that is silent for four seconds is lost to the others.
STANDSTILL = 10
# The program still runs when the disk takes something again.
LONG = SLOW.replace("range(40)", "range(250)")
# Thaws it whatever happens: frozen, it would outlive the laboratory. The numbers are FIFREEZE and FITHAW.
FREEZE = """
import fcntl, os, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(folder, 0xC0045877, 0)
print("frozen", flush=True)
sys.stdin.read()
fcntl.ioctl(folder, 0xC0045878, 0)
"""


@contextmanager
def frozen(machine, folder):
    """Whatever is written there waits."""
    path = f"/proc/{machine.group.leader()}/root{folder}"
    with subprocess.Popen([sys.executable, "-I", "-c", FREEZE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, start_new_session=True) as freezer:
        assert freezer.stdout.readline() == "frozen\n"
        yield
        freezer.stdin.close()
        assert freezer.wait() == 0


class Disk(FleetCase):
    """Two machines, of which p0 has its state on a disk of its own."""

    @classmethod
    def furnish(cls, lab):
        image = lab.folder / "state.img"
        with open(image, "wb") as file:
            file.truncate(BYTES)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        place = f'"$root{STATE}"'
        lab["p0"].media = [f"mkdir -p {place}", f"mount -t ext4 -o loop '{image}' {place}"]

    def test_a_disk_that_stands_still_costs_nobody_the_session(self):
        name = self.fleet.push(LONG)
        self.running_unit()
        agent = f"/proc/{self.show(AGENT, 'MainPID')}/status"
        with frozen(self.p0, STATE):
            # News, which the agent believes when they are on the disk.
            other = self.fleet.push(QUICK)
            until("the agent waits for the disk", lambda: "State:\tD" in self.p0.run(["cat", agent]).out)
            time.sleep(STANDSTILL)
            self.assertIn("State:\tD", self.p0.run(["cat", agent]).out)
        self.assertTrue(self.running_unit())
        self.assert_good(self.fleet.watch(name))
        self.assert_good(self.fleet.watch(other))
        self.assert_nothing_left()
