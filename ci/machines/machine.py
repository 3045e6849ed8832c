"""What can be done to a machine, whatever it is made of: run commands in it, write files, take its power away.

`container` and `emulated` say how each is done.
"""

import shlex
import subprocess
from dataclasses import dataclass

from .failure import LabError

# What no command in a test needs; it ends in the machine, too, so that nothing is left running there.
PATIENCE = 120


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    argv: tuple
    status: int
    out: str
    err: str

    def __str__(self):
        said = (self.err or self.out).strip()[-2000:]
        return f"`{shlex.join(map(str, self.argv))}` ended with status {self.status}: {said}"


class CommandFailed(LabError):
    """A command in a machine did not end well."""

    def __init__(self, machine, outcome):
        super().__init__(f"{machine}: {outcome}")
        self.outcome = outcome


class Commands:
    """Whatever commands can be run in. Subclasses say how: `command(argv, user)` is the host's command for it."""

    name = ""

    def command(self, argv, user=None, terminal=False):
        """The command on the host that runs `argv` in there."""
        raise NotImplementedError

    def run(self, argv, *, user=None, text=None, check=True, seconds=PATIENCE):
        """Runs a command, as `user` if given, with `text` on its standard input."""
        limited = ["timeout", "--kill-after=5", str(seconds), *argv]
        done = subprocess.run(self.command(limited, user), input=text or "", capture_output=True, text=True,
                              errors="replace", check=False)
        outcome = Outcome(tuple(argv), done.returncode, done.stdout, done.stderr)
        if check and outcome.status:
            raise CommandFailed(self.name, outcome)
        return outcome

    def start(self, argv, *, user=None, **pipes):
        """Starts a command and returns its `Popen`."""
        return subprocess.Popen(self.command(argv, user), **pipes)

    def succeeds(self, argv, **how):
        """Whether a command ends with status 0."""
        return self.run(argv, check=False, **how).status == 0

    def write(self, path, text, *, mode="0644", owner="root"):
        """Writes a file, with the folders above it."""
        self.run(["install", "-D", "-m", mode, "-o", owner, "/dev/stdin", path], text=text)

    def read(self, path):
        """The text of a file."""
        return self.run(["cat", "--", path]).out


class Machine(Commands):
    """A machine with systemd as process 1."""

    kind = ""

    def boot(self, seconds):
        """Starts it and returns, when systemd has reached its default target, how many seconds that took."""
        raise NotImplementedError

    def is_on(self):
        """Whether it has power."""
        raise NotImplementedError

    def power_cut(self):
        """Everything in it stops at once, unasked and unsaved."""
        raise NotImplementedError

    def shift_clock(self, offset):
        """Sets its clock forward or back by so many seconds, at once."""
        raise NotImplementedError

    def state(self):
        """What systemd says about it, or "off"."""
        if not self.is_on():
            return "off"
        return self.run(["systemctl", "is-system-running"], check=False).out.strip() or "no answer"

    def kill(self, unit, signal="KILL", whom="all"):
        """Sends a signal to the processes of a unit."""
        self.run(["systemctl", "kill", f"--signal={signal}", f"--kill-whom={whom}", unit])

    def journal(self, unit=None, *extra):
        """What was logged since the machine was made, over all its boots."""
        return self.run(["journalctl", "--no-pager", *(["--unit", unit] if unit else []), *extra]).out
