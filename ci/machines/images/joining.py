"""A join file in the place of each image: before its first boot its user put one there, and nothing else."""

import tomllib

from ..fleet import until
from .case import ImageCase

TOKEN = "e3-join-"
COPY = "/var/lib/e3/e3.toml"
PATIENCE = 30


class Joining(ImageCase):
    """All machines are parties by now; that is what the rig has waited for."""

    def test_each_has_become_the_party_that_its_file_names(self):
        status = self.rig.fleet.status()
        for image, machine in self.machines.items():
            with self.subTest(image):
                self.assertEqual(status[machine.name]["state"], "ready")
                self.assertEqual(tomllib.loads(self.rig.join_files[image])["name"], machine.name)
                self.assertEqual(machine.run(["cat", "/run/issue.d/51-e3-import.issue"], check=False).out, "")

    def test_no_secret_is_left_on_the_machine(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                until(lambda machine=machine: TOKEN not in machine.read(COPY), PATIENCE, lambda: f"{COPY} has its token still")
                token = tomllib.loads(self.rig.join_files[image])["token"]
                found = machine.run(["grep", "-rlaF", token, "/etc", "/var", "/run/log"], check=False).out
                self.assertEqual(found, "")

    def test_no_secret_is_left_on_the_card_which_is_read_only_again(self):
        mounted = self.machines["raspberrypi"].run(["grep", f" {self.rig.card.PLACE} ", "/proc/self/mountinfo"]).out
        self.assertRegex(mounted, r" ro,.* - \w+ \S+ ro")
        self.assertNotIn(TOKEN, self.machines["raspberrypi"].read(f"{self.rig.card.PLACE}/e3.toml"))

    def test_no_secret_is_left_on_windows(self):
        if "wsl" in self.machines:
            self.assertNotIn(TOKEN, self.rig.on_windows.read_text(encoding="utf-8"))

    def test_user_data_cannot_be_burnt_and_that_is_said(self):
        self.assertIn("cannot be burnt", self.machines["digitalocean"].journal("e3-import"))
