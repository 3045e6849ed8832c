"""Nothing is left over, whatever becomes of the command that made it, and nobody else's laboratory is touched."""

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from .. import cgroup, sweep
from ..failure import LabError
from ..lab import Lab, silent
from ..place import CLONE, full_name

HOLD = """
import sys
from machines import Lab
with Lab(1, name=sys.argv[1]) as lab:
    print("up", flush=True)
    sys.stdin.read()
"""
# `ci/lab test`, with these tests instead of its own.
SUITE = """
import sys
import unittest
from machines import Lab, cli, suite

name = sys.argv[1]

class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.enterClassContext(Lab(1, name=name))

    def test_1_of_two(self):
        self.addCleanup(print, "cleaned", flush=True)
        print("up", flush=True)
        sys.stdin.read()

    def test_2_of_two(self):
        print("went on", flush=True)

def test(_args):
    suite.run("__main__", ["Case"])

cli.test = test
sys.argv[1:] = ["test"]
sys.exit(cli.main())
"""


def host():
    """What a laboratory could leave behind on the host: interfaces, mounts, named namespaces."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mountinfo").read_text()
    return [line.split(": ")[1] for line in links.splitlines()], mounts, os.path.exists("/run/netns") and os.listdir("/run/netns")


class LeftOvers(unittest.TestCase):
    """Each test makes its laboratories in another process, and harms that."""

    def setUp(self):
        self.before = host()

    def spawn(self, name, code=HOLD):
        """A process that holds a laboratory."""
        environment = os.environ | {"PYTHONPATH": str(CLONE / "ci")}
        process = subprocess.Popen([sys.executable, "-B", "-c", code, name], stdin=-1, stdout=-1, text=True, env=environment)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "up\n")
        return process

    def assert_gone(self, name):
        """No folder, no group, no process, no lock, and the host is as it was."""
        full = full_name(name)
        self.assertFalse(sweep.folder(full).exists())
        self.assertFalse(cgroup.of_lab(full).path.exists())
        self.assertFalse(sweep.lock(full).exists())
        self.assertEqual(host(), self.before)

    def test_a_program_that_ends_leaves_nothing(self):
        process = self.spawn("ends")
        process.communicate("")
        self.assertEqual(process.returncode, 0)
        self.assert_gone("ends")

    def test_after_sigkill_the_machines_die_and_the_next_command_removes_the_rest(self):
        process = self.spawn("killed")
        group = cgroup.of_lab(full_name("killed"))
        self.assertTrue(group.populated())
        process.kill()
        process.wait()
        # By itself: the holder's standard input has ended.
        group.wait_empty(10)
        self.assertIn(full_name("killed"), sweep.left_over(silent))
        self.assert_gone("killed")

    def test_a_laboratory_that_somebody_holds_is_not_left_over(self):
        one, other = self.spawn("one"), self.spawn("other")
        one.kill()
        one.wait()
        self.assertNotIn(full_name("other"), sweep.left_over(silent))
        self.assertTrue(cgroup.of_lab(full_name("other")).populated())
        other.communicate("")
        self.assertEqual(other.returncode, 0)
        self.assert_gone("one")
        self.assert_gone("other")

    def test_a_signal_while_it_is_brought_up_undoes_it(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.up("interrupted")
            group = cgroup.of_lab(full_name("interrupted"))
            while not group.child("p0").populated():
                self.assertIsNone(process.poll(), "it ended before it could be interrupted")
            process.send_signal(number)
            # `timeout` and terminals send more than one.
            process.send_signal(signal.SIGTERM)
            self.assertIn(process.wait(30), (128 + number, 128 + signal.SIGTERM))
            self.assert_gone("interrupted")

    def test_a_signal_ends_tests_and_takes_their_laboratory_down(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.spawn("tests", SUITE)
            process.send_signal(number)
            self.assertEqual(process.communicate(timeout=30)[0], "cleaned\n")
            self.assertEqual(process.returncode, 128 + number)
            self.assert_gone("tests")

    def test_sigkill_while_it_is_brought_up_is_cleaned_up_by_the_next_command(self):
        process = self.up("half")
        group = cgroup.of_lab(full_name("half"))
        while not group.child("p0").populated():
            self.assertIsNone(process.poll(), "it ended before it could be killed")
        process.kill()
        process.wait()
        self.assertIn(full_name("half"), sweep.left_over(silent))
        self.assert_gone("half")

    def up(self, name):
        """`ci/lab up`, running."""
        environment = os.environ | {"PYTHONPATH": str(CLONE / "ci")}
        command = [sys.executable, "-B", "-m", "machines", "up", "1", "--bare", "--name", name]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_one_that_stays_is_found_again_and_goes_when_told(self):
        process = self.up("stays")
        self.assertEqual(process.wait(60), 0)
        with self.assertRaisesRegex(LabError, "is up already"):
            Lab(1, name="stays", detached=True).up()
        self.assertEqual(sweep.left_over(silent), [])
        lab = Lab.open("stays")
        self.assertEqual(lab["p0"].state(), "running")
        lab.down()
        self.assert_gone("stays")
        with self.assertRaisesRegex(LabError, "no laboratory is up"):
            Lab.open("stays")

    def test_a_failure_while_it_is_brought_up_undoes_it(self):
        lab = Lab(1, name="fails", agent="/nonexistent")
        with self.assertRaises(FileNotFoundError):
            lab.up()
        self.assert_gone("fails")
