"""What the tests share: a new machine of a new fleet for each of them, and what must hold when it is over."""

import json
import os
import unittest

from .. import fleet
from ..lab import Lab
from .releases import Releases

AGENT = "e3-agent.service"
INSTALLED = "/usr/lib/e3/e3-agent"
BINARIES = "/var/lib/e3/bin"
PATIENCE = 60
# Trials, polls and the time that systemd gives an agent, so short that a test can wait for them.
SETTINGS = "trial_seconds = {trial}\npoll_seconds = 2\n"
DROP_IN = "[Service]\nTimeoutStartSec=6s\nWatchdogSec=6s\n"


class UpdateCase(unittest.TestCase):
    """Has `self.machine`, with the installed agent, and `self.releases`."""

    machines = 1
    trial_seconds = 2

    def setUp(self):
        self.lab = self.enterContext(Lab(self.machines, agent=os.environ["E3_AGENT"]))
        self.machine = self.lab["p0"]
        self.fleet = fleet.Fleet(self.lab, fleet.need_binary())
        self.releases = Releases(self.fleet)
        self.before = self.installed()
        settings = self.machine.read("/etc/e3/agent.toml") + SETTINGS.format(trial=self.trial_seconds)
        self.machine.write("/etc/e3/agent.toml", settings)
        self.machine.write(f"/etc/systemd/system/{AGENT}.d/quick.conf", DROP_IN)
        self.machine.run(["systemctl", "daemon-reload"])
        self.machine.run(["systemctl", "restart", AGENT])
        self.fleet.start()
        self.addCleanup(self.fleet.hub_off)

    def tearDown(self):
        # Whatever was released: the installed binary is what systemd starts, and nobody has touched it.
        if hasattr(self, "before") and self.machine.is_on():
            self.assertEqual(self.installed(), self.before)

    def installed(self):
        """What systemd starts, and what is in it."""
        started = self.show("ExecStart")
        self.assertIn(f"path={INSTALLED} ;", started)
        done = self.machine.run(["sha256sum", INSTALLED])
        return done.out.split()[0]

    def show(self, name):
        """A property of the agent's unit."""
        return self.machine.run(["systemctl", "show", "--value", "--property", name, AGENT]).out.strip()

    def runs(self):
        """The file that the agent's process executes now, or nothing between two of them."""
        done = self.machine.run(["readlink", f"/proc/{self.show('MainPID')}/exe"], check=False)
        return done.out.strip()

    def status(self):
        """What the agent says of itself, or nothing if none answers."""
        answer = self.machine.run(["e3-agent", "status", "--json"], check=False, seconds=10)
        try:
            return json.loads(answer.out)
        except ValueError:
            return {}

    def trouble(self):
        """What the agent says is wrong with its update, or nothing."""
        return self.status().get("notes", {}).get("update") or {}

    def remembered(self):
        """What is on the disk about updates."""
        done = self.machine.run(["cat", "/var/lib/e3/update.json"], check=False)
        return json.loads(done.out) if done.status == 0 else {}

    def binaries(self):
        """The files that came by updates and are still there."""
        return self.machine.run(["ls", BINARIES], check=False).out.split()

    def tries(self, file):
        """How often stage 0 has executed this file, over all boots."""
        lines = self.machine.journal(AGENT, "--output=json", "E3_FILE=sha256:" + file).splitlines()
        return sum(json.loads(line)["MESSAGE"] == "executes an update" for line in lines)

    def until(self, what, look, seconds=PATIENCE):
        """Looks until there is something, and returns it."""
        return fleet.until(look, seconds, lambda: f"not within {seconds} s: {what}; what runs is {self.runs()!r}, it says "
                           f"{self.trouble()}, and remembers {self.remembered()}\n{self.fleet.agent_log('p0')}")

    def until_runs(self, path, what="it runs"):
        """Waits until this file is the agent, and answers."""
        self.until(what, lambda: self.runs() == path and self.status().get("phase", {}).get("name") == "ready")

    def until_committed(self, file):
        """Waits until this update has proved itself."""
        def is_kept():
            kept = self.remembered().get("committed")
            return kept and kept["file"]["digest"] == "sha256:" + file

        self.until("it is committed", is_kept)
        self.assertEqual(self.runs(), binary(file))
        self.until("nothing is wrong", lambda: self.status() and not self.trouble())

    def until_trouble(self, kind, seconds=PATIENCE):
        """Waits until the agent says so of its update; returns all that it says."""
        return self.until(f"it says `{kind}`", lambda: self.trouble() if self.trouble().get("kind") == kind else None, seconds)

    def until_owner_reads(self, words):
        """Waits until `e3 fleet status` says so, and `e3-agent status` does."""
        self.assertIn(words, " ".join(self.machine.run(["e3-agent", "status"]).out.split()))
        self.until(f"the owner reads `{words}`", lambda: words in " ".join(self.fleet.e3("fleet", "status").out.split()))

    def reboot(self):
        """The power goes away and comes back."""
        self.machine.power_cut()
        self.lab.boot(["p0"])


def binary(file):
    """Where the file of an update lies."""
    return f"{BINARIES}/{file}/e3-agent"
