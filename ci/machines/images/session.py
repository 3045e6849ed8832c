"""A session of three NixOS machines: the right result, and a program that sees Python's closure and nothing else."""

import json
import re
import tomllib

from ..sandbox.case import SUM
from ..sandbox.sessions import Sessions
from .case import ImageCase

LOOK = """
import json, os, sys
import gmpy2, numpy, uvloop

def names(path):
    return sorted(os.listdir(path)) if os.path.isdir(path) else None

print(json.dumps({
    "root": names("/"), "store": names("/nix/store"), "etc": names("/etc"), "home": names("/home"), "nix": names("/nix"),
    "python": sys.executable, "uid": os.getuid(), "state": names("/var/lib/e3"), "system": names("/run/current-system"),
}))
"""


class Session(ImageCase):
    """Runs on all three images together."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sessions = Sessions(cls.rig.lab, cls.rig.fleet)

    def done(self, program):
        """Runs it, and returns what it printed on each machine."""
        name = self.sessions.push(program)
        verdict = self.sessions.watch(name)
        self.assertEqual(verdict["outcome"], "done", verdict)
        return {image: self.sessions.result(self.rig.machines[image], name) for image in self.rig.images}

    def test_they_compute_the_right_result(self):
        expected = "1" * len(self.rig.images)
        self.assertEqual({text.strip() for text in self.done(SUM).values()}, {expected})

    def test_mpyc_is_in_the_image_by_its_hash(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                stores = tomllib.loads(machine.read("/etc/e3/agent.toml"))["stores"]
                listed = machine.run(["sh", "-c", 'cd "$1" && sha256sum *', "sh", *stores]).out.splitlines()
                self.assertTrue(listed)
                for line in listed:
                    digest, name = line.split()
                    self.assertEqual(digest, name)

    def test_a_program_sees_python_and_what_it_needs_and_nothing_else_of_the_store(self):
        for image, text in self.done(LOOK).items():
            with self.subTest(image):
                seen = json.loads(text)
                drop_ins = self.machines[image].run(["sh", "-c", "cat /etc/systemd/system/e3-party@.service.d/*.conf"]).out
                closure = re.findall(r"^BindReadOnlyPaths=/nix/store/(.*)$", drop_ins, re.MULTILINE)
                self.assertTrue(closure)
                self.assertEqual(seen["store"], sorted(closure))
                self.assertEqual(seen["nix"], ["store"])
                self.assertIsNone(seen["state"])
                self.assertIsNone(seen["system"])
                self.assertNotEqual(seen["uid"], 0)
