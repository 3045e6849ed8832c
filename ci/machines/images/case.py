"""What the tests share: the machines, by their images, and how their units are asked."""

import unittest

from . import rig


class ImageCase(unittest.TestCase):
    """Has `self.rig`, and `self.machines`: image -> machine."""

    @classmethod
    def setUpClass(cls):
        cls.rig = rig.current
        cls.machines = {image: cls.rig[image] for image in cls.rig.images}

    def show(self, machine, unit, *properties):
        """Properties of a unit, by name."""
        argv = ["systemctl", "show", unit, *(f"--property={name}" for name in properties)]
        return dict(line.split("=", 1) for line in machine.run(argv).out.splitlines())
