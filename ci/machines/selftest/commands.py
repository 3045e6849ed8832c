"""How the command line is read."""

import contextlib
import io
import unittest

from .. import cli


class Commands(unittest.TestCase):
    """`ci/lab exec` and its `--`."""

    def test_options_may_stand_behind_the_machine(self):
        args = cli.arguments(["exec", "p0", "--name", "other", "--", "ls", "--name", "-l"])
        self.assertEqual((args.machine, args.name, args.argv), ("p0", "other", ["ls", "--name", "-l"]))

    def test_a_plain_command_needs_no_dashes(self):
        self.assertEqual(cli.arguments(["exec", "p0", "systemctl", "status"]).argv, ["systemctl", "status"])

    def test_a_second_pair_of_dashes_is_the_commands(self):
        self.assertEqual(cli.arguments(["exec", "p0", "--", "sh", "--", "x"]).argv, ["sh", "--", "x"])

    def test_nothing_else_takes_a_command(self):
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as told:
            cli.arguments(["status", "--", "ls"])
        self.assertIn("only exec", told.getvalue())
