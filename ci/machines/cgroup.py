"""Control groups (version 2): how the laboratory knows its processes, and how it ends all of them at once.

A process cannot leave its group by forking, losing its parent or changing its name, and `cgroup.kill` is atomic; so
nothing is ever killed by name or by a number that may have been given to somebody else.
"""

import os
import select
import time
from pathlib import Path

from .failure import LabError

PREFIX = "e3-lab-"


def hierarchy():
    """Where this host mounts cgroup2: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` in the hybrid layout."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, filesystem = line.partition(" - ")
        if filesystem.startswith("cgroup2 "):
            return Path(mount.split()[4])
    raise LabError("no cgroup2 is mounted here; try: mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2")


def of_lab(full_name):
    """The group that everything of a laboratory is in."""
    return Group(hierarchy() / (PREFIX + full_name))


class Group:
    """A control group, which may or may not exist."""

    def __init__(self, path):
        self.path = path

    def child(self, name):
        """A group inside."""
        return Group(self.path / name)

    def create(self):
        """Makes it, and passes on to it the limits that the host can enforce here."""
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise LabError(f"cannot make the control group {self.path}: {error.strerror}; the lab needs root, and "
                           "/sys/fs/cgroup must be writable (in a container: run it privileged)") from error
        # With cgroup version 1 beside it, the controllers are not here, and MemoryMax= and the like do nothing.
        for controller in ("memory", "pids", "cpu"):
            try:
                (self.path / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError:
                continue

    def subtree(self):
        """This group and those inside, innermost first."""
        return [Path(folder) for folder, _, _ in os.walk(self.path, topdown=False)]

    def pids(self):
        """The processes in it and below, as this process numbers them."""
        found = []
        for folder in self.subtree():
            try:
                found += [int(pid) for pid in (folder / "cgroup.procs").read_text().split() if pid != "0"]
            except OSError:  # It is gone, before or while it is read (ENODEV).
                continue
        return found

    def leader(self):
        """The process that is number 1 in a process namespace of its own, or None."""
        for pid in self.pids():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 1 and numbers[-1] == "1":
                return pid
        return None

    def populated(self):
        """Whether a process is in it or below."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except FileNotFoundError:
            return False

    def wait_empty(self, seconds):
        """Waits until no process is left."""
        try:
            events = open(self.path / "cgroup.events", encoding="ascii")
        except FileNotFoundError:
            return
        with events:
            # The kernel reports a change of this file as exceptional condition.
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            end = time.monotonic() + seconds
            while "populated 0" not in events.read():
                left = end - time.monotonic()
                if left <= 0:
                    raise LabError(f"processes are left in {self.path} after {seconds} s: {self.pids()}")
                poll.poll(left * 1000)
                events.seek(0)

    def kill(self):
        """SIGKILL to everything in it and below, at once; returns when all of it is gone."""
        try:
            (self.path / "cgroup.kill").write_text("1")
        except FileNotFoundError as error:
            if self.path.exists():
                raise LabError("the lab needs Linux 5.14 or newer (cgroup.kill)") from error
            return
        self.wait_empty(30)

    def remove(self):
        """Ends everything in it and removes it."""
        self.kill()
        for folder in self.subtree():
            folder.rmdir()
