#!/usr/bin/env python3
"""Evaluates the outputs of the flake, one process each, several at a time, without writing or building anything.

Runs where Nix is: on the host, or in the root that ci/nix makes. Prints a line for each output with its time and
memory, and fails if one does not evaluate.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time

# An image may take as much; more is a mistake in a module, and small CI runners would die of it.
SLOW_SECONDS = 20
LARGE_KIB = 1_200_000


def main():
    """Says what evaluates."""
    parser = options(__doc__)
    parser.add_argument("--json", action="store_true", help="print a last line of JSON: what each output took")
    parser.add_argument("--golden", help="write the text of our units to this file, and evaluate nothing else")
    parser.add_argument("only", nargs="*", help="only these outputs")
    args = parser.parse_args()
    nix = Nix(args)
    if args.golden:
        with open(args.golden, "w", encoding="utf-8") as file:
            file.write(nix.text("lib.golden", "--json"))
        return
    names = args.only or json.loads(nix.text("lib.outputs", "--json"))
    names = [name for name in names if not any(word in name for word in args.without)]
    # The slow ones first, so that none of them is left over at the end.
    names.sort(key=lambda name: (not name.startswith("checks."), "packages" not in name, name))
    failed, took = [], {}
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, result in zip(names, pool.map(nix.measure, names)):
            print(result.line(name), flush=True)
            took[name] = {"seconds": round(result.wall, 2), "cpu_seconds": round(result.seconds, 2), "kib": result.kib}
            if not result.ok:
                failed.append(name)
                print(result.errors.rstrip(), flush=True)
    print(f"{len(names) - len(failed)} of {len(names)} outputs evaluate, in {time.monotonic() - begin:.0f} s")
    if args.json:
        print(json.dumps(took))
    if failed:
        sys.exit(f"error: {len(failed)} outputs do not evaluate: {' '.join(failed)}")


def options(about):
    """A command line with what all calls of Nix need."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--flake", required=True, help="the flake, as Nix names it")
    parser.add_argument("--override", action="append", default=[], metavar="INPUT=FLAKE")
    parser.add_argument("--offline", action="store_true", help="all inputs are in the store, or overridden")
    parser.add_argument("--jobs", type=int, default=max(1, min(4, os.cpu_count() or 1)))
    parser.add_argument("--without", action="append", default=[], help="leave out outputs with this in their name")
    return parser


class Result:
    """What became of one output."""

    def __init__(self, ok, errors, usage, wall):
        self.ok = ok
        self.errors = errors
        self.wall = wall
        self.seconds = usage.ru_utime + usage.ru_stime
        self.kib = usage.ru_maxrss

    def line(self, name):
        """For people: processor time, since the computer may have other things to do."""
        state = "ok" if self.ok else "FAILED"
        much = [word for word, is_it in (("slow", self.seconds > SLOW_SECONDS), ("large", self.kib > LARGE_KIB)) if is_it]
        return f"{state:6} {self.seconds:6.1f} s {self.kib // 1024:5} MiB  {name}{'  (' + ', '.join(much) + ')' if much else ''}"


class Nix:
    """Calls of Nix with the same flake."""

    def __init__(self, args):
        self.flake = args.flake
        self.options = ["--no-eval-cache", "--no-update-lock-file", "--option", "allow-import-from-derivation", "false"]
        if args.offline:
            self.options.append("--offline")
        for override in args.override:
            name, flake = override.split("=", 1)
            self.options += ["--override-input", name, flake]

    def command(self, attribute, form):
        """The command for one output. Nothing is written to the store: only the names of derivations are wanted."""
        return ["nix", "eval", "--read-only", form, *self.options, f"{self.flake}#{attribute}"]

    def text(self, attribute, form):
        """The value of an output; the end if there is none."""
        return self.answer(attribute, self.command(attribute, form))

    def write(self, attribute):
        """The same of the path of a derivation, which is in the store afterwards."""
        return self.answer(attribute, ["nix", "eval", "--raw", *self.options, f"{self.flake}#{attribute}"])

    def answer(self, attribute, command):
        """What a command prints."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"error: {attribute} does not evaluate:\n{done.stderr}")
        return done.stdout

    def measure(self, attribute):
        """Evaluates an output."""
        with tempfile.TemporaryFile("w+") as errors:
            begin = time.monotonic()
            process = subprocess.Popen(self.command(attribute, "--raw"), stdout=subprocess.DEVNULL, stderr=errors)
            # Not `wait`: this one tells what it has used.
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            return Result(process.returncode == 0, errors.read()[-3000:], usage, wall)


if __name__ == "__main__":
    main()
