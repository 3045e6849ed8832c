"""What the tests share: a laboratory with a fleet for each class, and programs that parties run."""

import json
import os
import unittest

from ..lab import Lab
from .sessions import Sessions, until

AGENT = "e3-agent.service"
PARTY = "e3-party@*.service"

# Adds up numbers for some seconds, so that there is a middle to disturb.
SLOW = """
import asyncio
from mpyc.runtime import mpc
async def main():
    secint = mpc.SecInt(32)
    async with mpc:
        for _ in range(40):
            total = await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))
            await asyncio.sleep(0.1)
    print(total)
mpc.run(main())
"""
QUICK = SLOW.replace("range(40)", "range(1)")
# The result tells which parties have taken part.
SUM = """
from mpyc.runtime import mpc

async def main():
    secint = mpc.SecInt(32)
    async with mpc:
        print(await mpc.output(mpc.sum(mpc.input(secint(10 ** mpc.pid)))))

mpc.run(main())
"""


class FleetCase(unittest.TestCase):
    """Has `self.lab` and `self.fleet`, the same for all tests of a class."""

    machines = 2

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(cls.machines, name="sandbox", agent=os.environ["E3_AGENT"])
        cls.lab.up(boot=False)
        cls.addClassCleanup(cls.lab.down)
        cls.furnish(cls.lab)
        cls.lab.boot()
        cls.fleet = Sessions(cls.lab)
        cls.p0 = cls.lab["p0"]

    @classmethod
    def furnish(cls, lab):
        """What its machines need before they boot."""

    def status(self, machine="p0"):
        """What the agent tells of itself; nothing while it does not answer."""
        told = self.lab[machine].run(["e3-agent", "status", "--json"], check=False)
        return json.loads(told.out) if told.status == 0 else None

    def units(self, machine="p0"):
        """Session units that systemd still knows, with their states."""
        listed = self.lab[machine].run(["systemctl", "list-units", "--all", "--plain", "--no-legend", PARTY]).out
        return [line.split()[:4] for line in listed.splitlines()]

    def running_unit(self, machine="p0"):
        """Waits for a session's unit to run its program, which shows by an address it is allowed; returns the unit."""
        def look():
            units = [unit[0] for unit in self.units(machine) if unit[2] == "active"]
            return units and self.show(units[0], "IPAddressAllow", machine) and units[0]

        return until(lambda: f"a session runs; {self.status(machine)}; {self.lab[machine].journal('e3-agent')[-3000:]}", look)

    def show(self, unit, name, machine="p0"):
        """A property of a unit."""
        return self.lab[machine].run(["systemctl", "show", "--value", "--property", name, unit]).out.strip()

    def assert_good(self, verdict):
        self.assertEqual(verdict["outcome"], "done", verdict)

    def assert_failed(self, verdict, *words):
        """The session failed, and the reason that is told has these words."""
        self.assertEqual(verdict["outcome"], "failed", verdict)
        told = str([party["receipt"]["outcome"] for party in verdict["parties"]])
        for word in words:
            self.assertIn(word, told)

    def assert_nothing_left(self):
        """No unit, no folder of a session on any machine; the agents are as they were."""
        for name in self.lab.machines:
            until(f"{name} has no unit left", lambda name=name: not self.units(name))
            machine = self.lab[name]
            self.assertEqual(machine.run(["ls", "/run/e3party", "/var/lib/e3/jobs"]).out.split(),
                             ["/run/e3party:", "/var/lib/e3/jobs:"])
            self.assertEqual(self.show(AGENT, "ActiveState", name), "active")
