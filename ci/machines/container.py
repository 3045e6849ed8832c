"""A machine by systemd-nspawn: a real systemd as process 1, real D-Bus and polkit, the host's kernel, an overlay as disk.

What it shares with the host, and so cannot have of its own: the clock, the page cache (a power cut loses what was in
memory, but nothing that was written, even if it was never synced), and the controllers for memory and CPU where the host
uses control groups version 1. For these there are emulated machines.
"""

import os
import select
import socket
import subprocess
import time

from .failure import LabError, NotUpInTime
from .inside import TOGETHER, enter
from .layer import Layer
from .machine import Machine

# It takes one or two seconds; several at once on a busy computer take longer.
BOOT_SECONDS = 30
# Without the first two and `bpf`, systemd ignores IPAddressDeny= and the like in there, and says nothing.
CAPABILITIES = "CAP_BPF,CAP_NET_ADMIN"
NSPAWN = [
    "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", "--link-journal=no",
    "--resolv-conf=off", "--timezone=off", "--console=read-only", "--notify-ready=yes",
    f"--capability={CAPABILITIES}", "--system-call-filter=bpf",
]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


class Container(Machine):
    """One of a laboratory's machines."""

    kind = "container"
    path = PATH

    def __init__(self, node, folder, lowers, group, holder):
        self.name = node.name
        self.layer = Layer(folder, lowers)
        self.group = group
        self.holder = holder
        # What it has besides its disk when it boots: file systems (shell commands that mount them below the folder in $root),
        # and more options for nspawn.
        self.media = []
        self.options = []

    def create(self, files):
        """Makes its disk, with `files` (path without leading slash -> text) on it."""
        self.layer.create()
        for path, text in files.items():
            target = self.layer.upper / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def boot(self, seconds=BOOT_SECONDS):
        """See `Machine`."""
        if self.is_on():
            raise LabError(f"{self.name} is on")
        begin = time.monotonic()
        with self._listener() as ready:
            self._launch()
            try:
                self._wait(ready, begin + seconds)
            except NotUpInTime:
                # It stays as it is, for somebody to look.
                raise
            except BaseException:
                self.group.kill()
                raise
        return time.monotonic() - begin

    def _listener(self):
        path = self.layer.folder / "notify"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(str(path))
        return listener

    def _launch(self):
        """Starts nspawn as a child of the holder, in a group and a mount namespace of its own."""
        self.group.create()
        nspawn = [*NSPAWN, *self.options, f"--machine={self.name}", f"--directory={self.layer.root}",
                  f"--network-namespace-path=/run/netns/{self.name}", *self.init()]
        # What is started in the background has the group of its parents, whose end makes it the holder's. Nothing but nspawn
        # stays in the group: it can pass on memory limits and the like only if all processes are further inside.
        script = 'echo 0 >"$1/cgroup.procs"; console=$2; shift 2; exec "$@" >>"$console" 2>&1'
        command = ["sh", "-c", script, "sh", self.group.path, self.layer.folder / "console.log",
                   *enter(self.holder.pid), "setsid", "--fork", "unshare", "--mount", "--propagation", "private",
                   "sh", "-c", "\n".join(["set -e", self.layer.script(), f"root='{self.layer.root}'", *self.media, 'exec "$@"']), "sh", *nspawn]
        environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.layer.folder / "notify")}
        subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, check=True)

    def init(self):
        """What nspawn is told to start."""
        return ["--boot"]

    def _wait(self, ready, end):
        """Returns when systemd says that it is up; fails as soon as nothing runs any more."""
        with open(self.group.path / "cgroup.events", encoding="ascii") as events:
            poll = select.poll()
            poll.register(ready, select.POLLIN)
            poll.register(events, select.POLLPRI)
            while True:
                left = end - time.monotonic()
                if left <= 0:
                    raise NotUpInTime(f"{self.name} was not up in time; {self._waits_for()}")
                for descriptor, _ in poll.poll(left * 1000):
                    if descriptor == ready.fileno() and b"READY=1" in ready.recv(65536).splitlines():
                        return
                events.seek(0)
                if "populated 0" in events.read():
                    raise LabError(f"{self.name} did not boot; its console:\n{self.console()[-3000:]}")

    def _waits_for(self):
        """What systemd has not finished."""
        jobs = self.run(["systemctl", "list-jobs", "--no-legend", "--no-pager"], check=False, seconds=5).out
        return f"systemd is still at:\n{jobs}" if jobs else f"its console:\n{self.console()[-3000:]}"

    def shift_clock(self, _offset):
        """See `Machine`."""
        raise LabError(f"{self.name} is a container and has the host's clock, as all of them: Linux has no other one to give it; "
                       f"make it a machine with a kernel of its own: ci/lab up --emulate {self.name}")

    def console(self):
        """Everything that came out of its console since it was made."""
        try:
            return (self.layer.folder / "console.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def is_on(self):
        """See `Machine`."""
        return self.group.populated()

    def power_cut(self):
        """See `Machine`."""
        if not self.is_on():
            raise LabError(f"{self.name} is off")
        self.group.remove()

    def command(self, argv, user=None, terminal=False):
        """In the running machine; in the one that is off, from its disk."""
        environment = ["env", "-i", f"PATH={self.path}", "LANG=C.UTF-8", "HOME=/root"]
        as_user = ["runuser", "-u", user, "--"] if user else []
        leader = self.group.leader()
        if leader is None:
            if self.is_on():
                raise LabError(f"{self.name} is about to start or to stop")
            return self.layer.chroot(self.holder.pid, [*environment, *as_user, *argv])
        pty = ["TERM=" + os.environ.get("TERM", "linux")] if terminal else []
        return ["nsenter", "--target", str(leader), "--all", "--", *TOGETHER, *environment, *pty, *as_user, *argv]


class Hub(Machine):
    """Not a machine: the network namespace where the hub and the owner are, on the host's own files."""

    name = "hub"
    kind = "namespace"

    def __init__(self, holder):
        self.holder = holder

    def command(self, argv, user=None, terminal=False):
        """Lives and dies with the laboratory."""
        as_user = ["runuser", "-u", user, "--"] if user else []
        return [*enter(self.holder.pid), *TOGETHER, *as_user, *argv]

    def is_on(self):
        """Always."""
        return True

    def state(self):
        """No systemd of its own."""
        return "up"
