#!/usr/bin/env python3
"""Tests image.py with a real Nix, and a flake that needs nothing but a shell: what is equal and what is not is found out by
building it twice. Runs where Nix is; the folder in E3_TRY is empty, and Nix can read it."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

IMAGE = Path(__file__).with_name("image.py")
# The larger path is needed by the image's contents alone; the smaller one by a bare system, too.
FLAKE = r"""
{
  outputs = { self }:
    let
      make = system: name: script: derivation {
        inherit name system;
        builder = "/bin/sh";
        args = [ "-euc" script ];
      };
      systems = [ "x86_64-linux" "aarch64-linux" ];
      each = f: builtins.listToAttrs (map (name: { inherit name; value = f (make name); }) systems);
      shared = make: make "shared" "echo shared > $out";
      with' = contents: image: image // { inherit contents; };
    in
    {
      packages = each (make:
        let contents = make "contents" "echo ${shared make} ${make "own" "printf %02000000d 0 > $out"} > $out"; in
        {
          same = with' contents (make "same.img" "echo same > $out");
          other = with' contents (make "other.img" "read -r line < /proc/sys/kernel/random/uuid; echo $line > $out");
          broken = with' contents (make "broken.img" "exit 1");
        });
      lib.bare = each (make: { config.system.build.toplevel = make "bare" "echo ${shared make} > $out"; });
    };
}
"""


class Image(unittest.TestCase):
    """Each test has a folder that things are put into."""

    def setUp(self):
        self.root = Path(os.environ["E3_TRY"]) / self._testMethodName
        flake = self.root / "flake"
        flake.mkdir(parents=True)
        (flake / "flake.nix").write_text(FLAKE, encoding="utf-8")
        self.flake = f"path:{flake}"
        self.to = self.root / "to"

    def image(self, name, limits):
        """Calls it; returns its status, the last line of what it prints, and what it complains about."""
        budget = self.root / "budget.toml"
        budget.write_text("".join(f"[released.{kind}-linux]\n{name} = {limits}\n" for kind in ("x86_64", "aarch64")), encoding="utf-8")
        argv = [sys.executable, "-B", IMAGE, "--flake", self.flake, "--offline", "--no-sbom", "--budget", budget, "--to", self.to, name]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        return done.returncode, json.loads(lines[-1]) if lines else None, done.stderr

    def test_what_is_built_twice_and_equal_is_said_to_be(self):
        status, made, said = self.image("same", "{ file = 1, beyond = 2, exact = true }")
        self.assertEqual(status, 0, said)
        self.assertTrue(made["equal"])
        self.assertEqual((self.to / "same.img").read_text(), "same\n")
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=self.to, check=True)

    def test_only_what_a_bare_system_has_not_is_weighed(self):
        _, made, said = self.image("same", "{ file = 1, beyond = 2, exact = true }")
        self.assertGreater(made["beyond"], 2_000_000, said)
        self.assertLess(made["beyond"], 2_001_000)

    def test_what_differs_although_it_is_promised_fails(self):
        status, made, said = self.image("other", "{ file = 1, beyond = 2, exact = true }")
        self.assertFalse(made["equal"])
        self.assertEqual(status, 1)
        self.assertIn("other was built twice and differs", said)

    def test_what_may_differ_is_said_to_and_kept(self):
        status, made, said = self.image("other", "{ file = 1, beyond = 2, exact = false }")
        self.assertEqual(status, 0, said)
        self.assertFalse(made["equal"])
        self.assertTrue((self.to / "other.img").exists())

    def test_what_is_too_large_fails(self):
        status, _, said = self.image("same", "{ file = 1, beyond = 1, exact = true }")
        self.assertEqual(status, 1)
        self.assertIn("same has beyond a bare NixOS 1.9 MiB, and may be 1 MiB", said)

    def test_what_cannot_be_built_is_not_said_to_differ(self):
        status, made, said = self.image("broken", "{ file = 1, beyond = 2, exact = false }")
        self.assertEqual((status, made), (1, None))
        self.assertIn("broken cannot be built", said)

    def test_a_folder_with_something_in_it_is_left_alone(self):
        self.to.mkdir()
        (self.to / "mine").write_text("mine")
        status, _, said = self.image("same", "{ file = 1, beyond = 2, exact = true }")
        self.assertEqual(status, 1)
        self.assertIn("is not empty", said)


if __name__ == "__main__":
    unittest.main()
