"""What `e3-agent doctor` finds on a machine with a real systemd, and what its owner hears of it from afar."""

import json

from .case import AGENT, QUICK, FleetCase
from .console import banner, shows
from .sessions import until

# A unit of ours that has failed; nobody ships it.
BROKEN = ["systemd-run", "--quiet", "--unit=e3-broken", "--service-type=oneshot", "false"]


class Doctor(FleetCase):
    """Two machines in a fleet."""

    def doctor(self, *words):
        """What p0 finds, by what was looked at: state and what was found."""
        said = json.loads(self.p0.run(["e3-agent", "doctor", "--json", *words], check=False).out)
        return self.by_name(said)

    def afar(self, *words):
        """The same for its owner."""
        return self.by_name(self.fleet.e3("party", "doctor", "p0", *words, check=False))

    @staticmethod
    def by_name(said):
        checks = {}
        for check in said["checks"]:
            checks.setdefault(check["what"], []).append((check["state"], check["found"]))
        return checks

    def test_a_machine_that_is_well(self):
        for checks in (self.doctor(), self.afar()):
            self.assertFalse([found for all_of in checks.values() for found in all_of if found[0] == "fail"], checks)
            for what in ("agent", "party", "head", "network", "hub", "time", "disk", "systemd", "python"):
                self.assertIn(what, checks)
        # Somebody without rights is told whom to ask.
        checks = json.loads(self.p0.run(["setpriv", "--reuid=65534", "--clear-groups", "e3-agent", "doctor", "--json"], check=False).out)
        self.assertIn("only root", str(self.by_name(checks)["agent"]))

    def test_a_unit_that_failed(self):
        self.p0.run(BROKEN, check=False)
        self.addCleanup(self.p0.run, ["systemctl", "reset-failed", "e3-broken.service"])
        for checks in (self.doctor(), self.afar()):
            self.assertEqual(checks["systemd"], [("fail", "e3-broken.service failed: exit-code")])

    def test_a_template_that_is_not_there(self):
        unit = "/usr/lib/systemd/system/e3-party@.service"
        self.p0.run(["sh", "-ec", f"mv {unit} /root/; systemctl daemon-reload"])
        self.addCleanup(self.p0.run, ["sh", "-ec", f"mv /root/e3-party@.service {unit}; systemctl daemon-reload"])
        self.assertIn(("fail", "e3-party@doctor.service is not-found"), self.doctor()["systemd"])

    def test_an_agent_that_does_not_run(self):
        self.p0.run(["systemctl", "stop", AGENT])
        self.addCleanup(self.p0.run, ["systemctl", "start", AGENT])
        self.assertIn("no agent answers", str(self.doctor()["agent"]))

    def test_a_hub_that_cannot_be_reached(self):
        self.lab.cut("p0", "hub")
        self.addCleanup(self.lab.heal)
        self.assertEqual(self.doctor()["hub"][0][0], "fail")

    def test_a_full_disk(self):
        self.p0.run(["sh", "-ec", "mkdir -p /root/full; mount -t tmpfs -o size=8m full /root/full; sed 's|^#state = .*|state = \"/root/full\"|'"
                     " /etc/e3/agent.toml > /root/full.toml"])
        self.addCleanup(self.p0.run, ["umount", "/root/full"])
        self.assertIn(("fail", "8 MiB free at /root/full"), self.doctor("--config", "/root/full.toml")["disk"])

    def test_which_machine_it_is(self):
        said = self.fleet.e3("party", "identify", "p0")
        self.assertEqual(said["shown"], ["console"])
        shows(self.p0, "This is the machine that was asked for", "\a", said["words"])
        self.assertNotIn("asked for", banner(self.lab["p1"]))
        until("it is over after a minute", lambda: "asked for" not in banner(self.p0), 80)

    def test_what_it_has_logged(self):
        name = self.fleet.push(QUICK)
        self.assert_good(self.fleet.watch(name))
        lines = self.fleet.e3("party", "logs", "p0")["lines"]
        self.assertIn(name, str(lines))
