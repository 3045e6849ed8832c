"""`e3.wsl`, as Windows unpacks it: what has to be in it, what must not, and that the system in it boots."""

import configparser
import subprocess
import tarfile
import unittest
from pathlib import Path

from ..lab import Lab
from ..realise import store
from .case import ImageCase

PROFILE = "/nix/var/nix/profiles/system"


class WslFile(ImageCase):
    """Unpacked into the folder of a laboratory of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if "wsl-file" not in cls.rig.systems:
            raise unittest.SkipTest("there is no NixOS-WSL")
        path = store() / Path(cls.rig.systems["wsl-file"]).relative_to("/nix") / "e3.wsl"
        cls.archive = cls.enterClassContext(tarfile.open(path))
        cls.members = {member.name.removeprefix("./"): member for member in cls.archive}

    def ini(self, name):
        """A file that Windows reads."""
        parsed = configparser.ConfigParser()
        parsed.read_string(self.archive.extractfile(self.members[name]).read().decode())
        return parsed

    def test_windows_finds_what_it_reads(self):
        wsl = self.ini("etc/wsl.conf")
        self.assertEqual(wsl["boot"]["systemd"], "true")
        distribution = self.ini("etc/wsl-distribution.conf")
        uid = distribution["oobe"]["defaultuid"]
        passwd = self.archive.extractfile(self.members["etc/passwd"]).read().decode().splitlines()
        users = {line.split(":")[2]: line.split(":")[0] for line in passwd}
        self.assertEqual(users["0"], "root")
        self.assertEqual(users[uid], wsl["user"]["default"])
        for name in ("bin/sh", "bin/mount", "bin/login", "bin/init", "sbin"):
            self.assertIn(name, self.members)

    def test_it_has_no_identity_no_time_and_no_owner_of_its_own(self):
        for name in ("etc/machine-id", "etc/ssh", "var/lib/e3", "etc/e3/e3.toml"):
            self.assertNotIn(name, self.members)
        self.assertEqual({(member.mtime, member.uid, member.gid, member.uname) for member in self.members.values()}, {(1, 0, 0, "")})

    def test_the_system_in_it_boots(self):
        lab = Lab(1, name="wsl-file", nixos={"p0": PROFILE})
        lab.up(boot=False)
        self.addCleanup(lab.down)
        machine = lab["p0"]
        unpacked = lab.folder / "unpacked"
        unpacked.mkdir()
        subprocess.run(["tar", "-xpf", self.archive.name, "-C", unpacked, "--numeric-owner"], check=True)
        root, *others = machine.layer.lowers
        # What the archive has not, since it would be nixpkgs' own: the loader and the libraries of Debian's programs.
        machine.layer.lowers = [f"{unpacked}:{root}", *others]
        machine.layer.shared_store = False
        machine.boot()
        self.assertEqual(machine.state(), "running")
        self.assertEqual(machine.run(["readlink", "-f", "/run/current-system"]).out.strip(), self.rig.systems["wsl"])
        self.assertIn("waiting for a join file", machine.run(["e3-agent", "status"], check=False).out)
