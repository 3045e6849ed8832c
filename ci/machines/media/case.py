"""What the tests share: a fleet whose machines are off until they have their media, and the card of a Raspberry Pi."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

from .. import fleet, install
from ..lab import Lab

SETTINGS = "/etc/e3/agent.toml"
DROP_IN = "/etc/systemd/system/e3-import.{kind}.d/image.conf"
TOKEN = "e3-join-"
PATIENCE = 30


def until(what, look, seconds=PATIENCE):
    """Looks until there is something, and returns it; fails with `what` after `seconds`."""
    return fleet.until(look, seconds, lambda: f"not within {seconds} s: {what() if callable(what) else what}")


def card_type():
    """A card has FAT. A kernel without it, as some hosts have, gets ext4 instead, and that is said."""
    subprocess.run(["sh", "-c", "modprobe vfat"], check=False, capture_output=True)
    if "\tvfat\n" in Path("/proc/filesystems").read_text(encoding="ascii"):
        return "vfat"
    print("this kernel has no vfat: the card is ext4", file=sys.stderr)
    return "ext4"


class Card:
    """A card that is nearly full, as a file; a machine has it at /boot/firmware, read-only."""

    BYTES = 4 << 20
    PLACE = "/boot/firmware"

    def __init__(self, folder):
        self.image = folder / "card.img"
        self.kind = card_type()
        self.image.touch()
        os.truncate(self.image, self.BYTES)
        make = {"vfat": ["mkfs.vfat"], "ext4": ["mkfs.ext4", "-q", "-b", "1024"]}[self.kind]
        subprocess.run([*make, self.image], check=True, capture_output=True)

    def insert(self, machine):
        """Into a machine that is off."""
        options = "nodev,nosuid,noexec" + (",umask=0077" if self.kind == "vfat" else "")
        root = f'"$root{self.PLACE}"'
        # A loop device of a read-only mount would be read-only itself, which a card is not.
        machine.media = [f"mkdir -p {root}", f"mount -t {self.kind} -o loop,{options} '{self.image}' {root}",
                         f"mount -o remount,ro,{options} {root}"]

    def write(self, text, full=False):
        """On the computer of the machine's owner; nothing else fits on it then if it is to be `full`."""
        script = f'set -e; mount -t {self.kind} -o loop "$1" /mnt; cat >/mnt/e3.toml; ' \
                 + ("dd if=/dev/zero of=/mnt/filler bs=1k 2>/dev/null || true; " if full else "") + "umount /mnt"
        subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", self.image], input=text, text=True, check=True,
                       stdout=subprocess.DEVNULL)


class MediaCase(unittest.TestCase):
    """Has `self.lab` with a hub and machines that are off."""

    machines = 1
    # Machine -> the image whose golden units and settings it has.
    golden = {}

    def setUp(self):
        self.lab = Lab(self.machines, name=f"media-{os.getpid()}", agent=os.environ["E3_AGENT"], golden=self.golden)
        self.lab.up(boot=False)
        self.addCleanup(self.lab.down)
        self.fleet = fleet.Fleet(self.lab, fleet.need_binary())
        self.fleet.found()

    def image(self, name, kind):
        """Makes a machine one of that image, as far as join files go: its settings."""
        settings = (install.dist() / f"share/import/{kind}.toml").read_text(encoding="utf-8")
        self.put(name, SETTINGS, f'supervisor = "systemd"\n{settings}')

    def unit(self, name, kind, text):
        """What an image adds to a unit of the importer."""
        self.put(name, DROP_IN.format(kind=kind), text)

    def put(self, name, path, text, mode=0o644):
        """Writes a file on the disk of a machine that is off."""
        target = self.lab[name].layer.upper / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def may_remount(self, name):
        """As the image of a Raspberry Pi lets the importer."""
        self.unit(name, "service", (install.dist() / "share/raspberrypi/e3-import.conf").read_text(encoding="utf-8"))

    def invite(self, name, more=""):
        """The text of a machine's join file."""
        path = self.fleet.folder / f"{name}.toml"
        path.unlink(missing_ok=True)
        self.fleet.e3("fleet", "invite", name, "-o", path)
        return path.read_text() + more

    def issue(self, name):
        """What the importer shows on the console."""
        return self.lab[name].run(["cat", "/run/issue.d/51-e3-import.issue"], check=False).out

    def says(self, name, *words):
        """Waits until the console says so."""
        until(lambda: f"{words} on the console; it says {self.issue(name)!r}; the log: {self.lab[name].journal('e3-import')[-1500:]}",
              lambda: all(word in self.issue(name) for word in words))

    def enrolled(self, *names):
        """Waits for them."""
        try:
            self.fleet.enrolled(names, PATIENCE)
        except Exception as error:
            logs = "\n".join(self.lab[name].journal("e3-import")[-2000:] for name in names)
            raise AssertionError(f"{error}\n{logs}") from error

    def assert_runs(self, name):
        """It has booted, and nothing has failed."""
        machine = self.lab[name]
        until(lambda: machine.run(["systemctl", "--failed", "--no-legend"]).out, lambda: machine.state() == "running")
