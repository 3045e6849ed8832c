"""What the tests share: a laboratory for each class, whose p0 is emulated and boots with a clock of its own."""

import json
import os
import time
import unittest

from ..faults.rig import QUICK, SALARIES
from ..fleet import Fleet, need_binary, until
from ..lab import Lab
from ..meshes.table import program

# An emulated processor needs a minute to enrol, and another one to start Python and import MPyC.
ENROLMENT_SECONDS = 120
PREFLIGHT_SECONDS = 120
SESSION_SECONDS = 180
STATE_SECONDS = 60
AGENT = "e3-agent.service"
SHOW_CLOCK = 'systemctl stop "$1"; date --utc --set="$2"; systemctl start "$1"'


class ClockCase(unittest.TestCase):
    """Has `self.lab`, `self.p0` and `self.fleet`, whose hub runs; nobody has joined. The same for all tests of a class."""

    # What p0's hardware clock says when it boots, as an ISO time.
    rtc = ""
    # More programs for all machines, by name.
    programs = ()

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(3, agent=os.environ["E3_AGENT"], emulated=["p0"], mesh=[program(name) for name in cls.programs] or None)
        # A laboratory that does not come up takes itself down.
        cls.lab.up(boot=False)
        cls.addClassCleanup(cls.lab.down)
        cls.p0 = cls.lab["p0"]
        cls.p0.rtc = cls.rtc
        cls.lab.boot()
        # At boot, systemd sets a clock before the day it was built, or more than 15 years after, to that day. A clock that
        # goes wrong later has no such help, so the agent is shown the hardware's time, as if that were of its boot.
        cls.p0.run(["sh", "-ec", SHOW_CLOCK, "sh", AGENT, cls.rtc])
        cls.fleet = Fleet(cls.lab, need_binary())
        cls.fleet.found()
        (cls.fleet.folder / "quick.py").write_text(QUICK)
        cls._count = 0

    def year(self):
        """The year that p0's clock says it is."""
        return int(self.p0.run(["date", "--utc", "+%Y"]).out)

    def hardware_year(self):
        """The year that its hardware clock says it is."""
        return time.gmtime(int(self.p0.read("/sys/class/rtc/rtc0/since_epoch"))).tm_year

    def sign(self, top="", preflight=PREFLIGHT_SECONDS):
        """Signs a session of all three; returns its name."""
        type(self)._count += 1
        name = f"session-{self._count}"
        self.fleet.sign(name, "quick.py", top=top, preflight=preflight)
        return name

    def assert_good_session(self):
        """One ends well, with the right result, which p0 can read."""
        name = self.sign()
        self.fleet.push(name)
        outcomes = [receipt and receipt["outcome"] for receipt in self.fleet.verdict(name, SESSION_SECONDS)]
        self.assertEqual(outcomes, [{"kind": "done"}] * 3)
        self.assertEqual(self.p0.run(["e3-agent", "result", name]).out, f"{sum(SALARIES)}\n")
        self.assertEqual(self.ran(name), 1)

    def ran(self, name):
        """How often p0 has started this session's program."""
        return self.p0.journal("e3-agent", "--output=json", "E3_SESSION=" + name, "E3_PROGRESS=running").count("\n")

    def status(self):
        """What p0's agent says of itself."""
        return json.loads(self.p0.run(["e3-agent", "status", "--json"]).out)

    def until(self, look, what):
        """Waits until p0's status passes `look`, and returns it."""
        seen = []

        def passes():
            seen[:] = [self.status()]
            return look(seen[0]) and seen[0]

        return until(passes, STATE_SECONDS, lambda: f"p0 is not {what}: {seen}\n{self.fleet.agent_log('p0')}")
