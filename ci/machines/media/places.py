"""Each medium joins its machine, has no secrets afterwards, and may be late; then all machines compute something together."""

import json
import os
import re
import shlex
import subprocess

from .. import install
from ..sandbox.case import SUM
from ..sandbox.sessions import Sessions
from .case import TOKEN, Card, MediaCase, until

WIFI = '\n[wifi]\nssid = "home"\npassword = "correct horse"\ncountry = "NL"\n'


def token(text):
    """The secret of a join file."""
    return re.search(r'^token = "(.*)"', text, re.MULTILINE)[1]


class Places(MediaCase):
    """One machine with what each image ships: its units, drop-ins, rules and settings."""

    golden = {"p0": "raspberrypi", "p1": "digitalocean", "p2": "wsl", "p3": "generic", "p4": "raspberrypi5"}
    machines = len(golden)

    def test_each_image_joins_from_its_own_place(self):
        self.raspberry_pi()
        credential = self.lab.folder / "credential"
        credential.write_text(self.invite("p3"))
        self.lab["p3"].options = [f"--load-credential=e3.join:{credential}"]
        self.put("p4", "/etc/e3/e3.toml", self.invite("p4"), mode=0o600)
        self.lab.boot()
        for name in self.lab.machines:
            self.assert_runs(name)
        # These come when the machines have been up for a while.
        metadata = {"droplet_id": 1, "user_data": self.invite("p1")}
        self.lab["p1"].write("/run/do-metadata/v1.json", json.dumps(metadata))
        self.lab["p2"].write("/mnt/c/Users/alice/e3.toml", self.invite("p2"), mode="0777")
        self.lab["p2"].run(["ln", "-s", "/mnt/c/Users/alice", "/mnt/c/Users/All Users"])
        self.enrolled(*self.lab.machines)
        for name in ("p0", "p1", "p2", "p3"):
            self.assertEqual(self.issue(name), "", name)
        self.assertNotIn(TOKEN, self.lab["p2"].read("/mnt/c/Users/alice/e3.toml"))
        self.assertIn("cannot be burnt", self.lab["p1"].journal("e3-import"))
        self.it_is_what_the_images_ship()
        self.they_compute_together()
        self.the_card_has_no_secrets()
        # The agent's copies have lost theirs, too.
        for name in self.lab.machines:
            until(f"{name} has no token", lambda name=name: TOKEN not in self.lab[name].read("/var/lib/e3/e3.toml"))
        self.again()

    def it_is_what_the_images_ship(self):
        for name in self.lab.machines:
            self.assertIn("Made by NixOS", self.lab[name].read("/etc/e3/agent.toml"))
            for unit in ("e3-agent.service", "e3-import.path", "e3-import.timer"):
                self.assertTrue(self.lab[name].succeeds(["systemctl", "is-active", unit]), f"{unit} on {name}")

    def they_compute_together(self):
        self.fleet.accept()
        sessions = Sessions(self.lab, self.fleet)
        name = sessions.push(SUM)
        verdict = sessions.watch(name)
        self.assertEqual(verdict["outcome"], "done", verdict)
        for machine in self.lab.machines:
            self.assertIn("11111", sessions.result(machine, name))

    def raspberry_pi(self):
        """With a card that is full."""
        self.card = Card(self.lab.folder)
        self.join_file = self.invite("p0", WIFI)
        self.card.write(self.join_file, full=True)
        self.card.insert(self.lab["p0"])

    def the_card_has_no_secrets(self):
        p0 = self.lab["p0"]
        wifi = "/var/lib/e3-import/wifi/wpa_supplicant.conf"
        self.assertIn('psk="correct horse"', p0.read(wifi))
        self.assertFalse(p0.succeeds(["cat", wifi], user="e3"), "the password is root's")
        mounted = p0.run(["grep", f" {Card.PLACE} ", "/proc/self/mountinfo"]).out
        self.assertRegex(mounted, r" ro,.* - \w+ \S+ ro", "it is read-only again, the mount and what is mounted")
        p0.power_cut()
        medium = self.card.image.read_bytes()
        for secret in (token(self.join_file), "correct horse"):
            self.assertNotIn(secret.encode(), medium)
        self.assertIn(b"ssid", medium)
        for secret in (token(self.join_file), "correct horse"):
            log = subprocess.run(["grep", "-rlaF", secret, p0.layer.upper / "var/log"], capture_output=True, text=True, check=False)
            self.assertEqual(log.stdout, "")

    def again(self):
        """With the card taken out it is the party that it was."""
        self.lab["p0"].media = []
        self.lab.boot(["p0"])
        self.assert_runs("p0")
        self.says("p0", "nothing is mounted at /boot/firmware")
        self.enrolled("p0")


class Container(MediaCase):
    """The agent by itself, as in an image of a container; here at the hub's place."""

    def test_it_joins_by_a_variable_that_nobody_finds_afterwards(self):
        folder = self.lab.folder / "container"
        folder.mkdir()
        settings = (install.dist() / "share/import/container.toml").read_text(encoding="utf-8")
        config = folder / "agent.toml"
        own = f'state = "{folder}/state"\nrun = "{folder}/run"\nlisten = "127.0.0.1:0"\n'
        config.write_text(own + settings)
        join_file = self.invite("box")
        agent = [os.environ["E3_AGENT"], "run", "--config", config]
        process = self.lab.hub.start(["env", f"E3_JOIN={join_file}", *agent], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until("box has enrolled", lambda: self.fleet.status().get("box", {}).get("state") == "ready")
        found = self.lab.hub.run(["sh", "-c", f"grep -laF {shlex.quote(token(join_file))} /proc/[0-9]*/environ"], check=False).out
        self.assertEqual(found, "")
