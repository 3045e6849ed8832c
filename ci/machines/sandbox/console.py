"""What a machine's console shows to whoever stands before it, without logging in: it is fresh, whatever happens."""

import os
import unittest

from ..lab import Lab
from .case import QUICK, FleetCase
from .sessions import until

# What stands above each banner.
SYSTEM = "Debian GNU/Linux"


def banner(machine):
    """The newest banner on the console."""
    return machine.console().rpartition(SYSTEM)[2]


def shows(machine, *words):
    """Waits until the newest banner has these words."""
    until(f"the console shows {words}", lambda: all(word in banner(machine) for word in words), 20)


class WithoutFleet(unittest.TestCase):
    """One machine that nobody has given a join file."""

    def test_no_join_file(self):
        with Lab(1, name="sandbox-console", agent=os.environ["E3_AGENT"]) as lab:
            shows(lab["p0"], "E3 machine without identity yet", "waiting for a join file", "e3 fleet invite", "/etc/e3/e3.toml")
            # What the importer has to say is shown, too, and no longer than it is true.
            lab["p0"].write("/etc/e3/e3.toml", "no join file\n")
            shows(lab["p0"], "E3 join file:", "/etc/e3/e3.toml is broken", "waiting for a join file")
            lab["p0"].run(["rm", "/etc/e3/e3.toml"])
            until("the console shows no trouble any more", lambda: "E3 join file:" not in banner(lab["p0"]), 30)


class Console(FleetCase):
    """Two machines in a fleet."""

    def test_identity_state_and_the_last_session(self):
        identity = self.status()["party"]
        short = identity[-8:]
        self.assertTrue(identity.startswith("did:key:"), identity)
        shows(self.p0, "E3 p0 of", "ready", "address 10.53.0.10:7332")
        name = self.fleet.push(QUICK)
        self.assert_good(self.fleet.watch(name))
        shows(self.p0, short, "ready", f"last session {name}: done")
        # Trouble is shown while it lasts, and then no longer.
        self.p0.run(["systemctl", "stop", "dbus.socket", "dbus.service"])
        shows(self.p0, "degraded: programs cannot be started", "Check that D-Bus runs", f"last session {name}: done")
        self.p0.run(["systemctl", "start", "dbus.socket", "dbus.service"])
        shows(self.p0, "  ready")
        self.assertNotIn("degraded", banner(self.p0))
        failed = self.p0.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).out
        self.assertEqual(failed, "")
