"""A clock that is behind the certificate for the mesh. The agent takes the time that somebody trusted has signed for the earliest that
it can be (rule 10); the mesh's daemon has the system's clock, and refuses a certificate of its future."""

import json
import time

from ..fleet import until
from ..meshes.rig import PORTS
from .case import AGENT, ENROLMENT_SECONDS, STATE_SECONDS, ClockCase

ANCHOR = "p1"
UNIT = "e3-mesh-nebula.service"
# At least so far behind is 2020, in seconds.
APART = 5 * 365 * 86400


class Mesh(ClockCase):
    """It is 2020 on p0, and today elsewhere."""

    rtc = "2020-06-01T12:00:00"
    programs = ("nebula",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.p0.run(["modprobe", "tun"])
        for name in cls.fleet.parties:
            cls.fleet.join(name)
        cls.fleet.enrolled(cls.fleet.parties, ENROLMENT_SECONDS)
        cls.fleet.accept()

    def of_mesh(self, name):
        """What a machine says of its mesh."""
        return json.loads(self.lab[name].run(["e3-agent", "status", "--json"]).out).get("meshes", {}).get("nebula", {})

    def until_mesh(self, name, look, seconds):
        """Signs certificates until a machine's word passes `look`; returns that."""
        def passes():
            self.fleet.e3("mesh", "sign")
            said = self.of_mesh(name)
            return said if look(said) else None

        return until(passes, seconds, lambda: f"{name} says {self.of_mesh(name)}\n{self.fleet.agent_log(name)}")

    def test_it_says_that_its_clock_is_wrong_and_joins_when_it_is_right(self):
        anchor = self.lab.network.node(ANCHOR).address
        self.fleet.e3("mesh", "nebula", "--anchor", f"{ANCHOR}={anchor}:{PORTS['nebula']}")
        for name in ("p1", "p2"):
            self.until_mesh(name, lambda said: said.get("state") == "joined", STATE_SECONDS)
        said = self.until_mesh("p0", lambda said: said.get("reason", {}).get("kind") == "clock-wrong", STATE_SECONDS)
        self.assertGreater(said["reason"]["seconds"], APART)
        self.assertEqual(self.year(), 2020, "nobody has set its clock")
        self.assertEqual(self.p0.run(["systemctl", "is-active", UNIT], check=False).out, "inactive\n")
        self.p0.run(["systemctl", "is-active", AGENT])

        self.p0.run(["date", "--utc", f"--set=@{time.time():.0f}"])
        self.until_mesh("p0", lambda said: said.get("state") == "joined", STATE_SECONDS)
