#!/usr/bin/env python3
"""`ci/bench nix`: what the Nix files cost on this machine. Prints a table, and a last line of JSON; judges nothing.

Runs on the host and calls what others call: `ci/nix` and `ci/lab`. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
IMAGES = ("packages.x86_64-linux.digitalocean", "packages.aarch64-linux.raspberrypi", "packages.x86_64-linux.wsl")


def main():
    """Measures one thing after the other."""
    parser = argparse.ArgumentParser(prog="ci/bench nix", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the last line of JSON")
    args = parser.parse_args()
    # Whatever is made once is there afterwards.
    last_json("ci/nix", "eval", "--json", "formatter.x86_64-linux.drvPath")
    report = {
        "evaluation": last_json("ci/nix", "eval", "--json", "--jobs", "1", *(f"{image}.drvPath" for image in IMAGES)),
        "derivations": last_json("ci/nix", "budget"),
        "check_s": check(),
        "load": os.getloadavg()[0],
        "machines": last_json("ci/lab", "nixos", "--bench"),
    }
    print("\n".join(table(report)))
    if args.json:
        print(json.dumps(report))


def last_json(*command):
    """Runs a command of this clone; what its last line says."""
    print(f"{' '.join(command)} …", file=sys.stderr, flush=True)
    done = subprocess.run([CLONE / command[0], *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def check():
    """Seconds of a full `ci/nix check`."""
    begin = time.monotonic()
    print("ci/nix check …", file=sys.stderr, flush=True)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if subprocess.run([CLONE / "ci/nix", "check"], **quiet, check=False).returncode:
        sys.exit("error: ci/nix check fails; run it to see why")
    return round(time.monotonic() - begin, 1)


def table(report):
    """For people, with what each is meant to reach."""
    machines = report["machines"]
    rows = [("", "measured", "goal")]
    for name, took in report["evaluation"].items():
        _, system, image, _ = name.split(".")
        rows.append((f"evaluate {image} for {system}", f"{took['seconds']:.1f} s, {took['kib'] / 1e6:.2f} GB", "20 s, 1.2 GB"))
    rows.append(("evaluate everything (ci/nix check)", f"{report['check_s']:.0f} s", "240 s"))
    for what, how, goal in (("one", "cold", "60 s"), ("one", "incremental", "15 s"), ("all", "cold", ""), ("all", "incremental", "")):
        seconds = machines[what][how]["from nothing to joined"]
        rows.append((f"realise and boot till joined: {what}, {how}", f"{seconds:.1f} s", goal))
    rows += [(f"boot till the agent is ready: {image}", f"{seconds:.2f} s", "2 s") for image, seconds in machines["ready_s"].items()]
    rows += [(f"derivations beyond a bare NixOS: {image}", str(number), "ci/budget.toml") for image, number in report["derivations"].items()]
    return [f"{name:47} {measured:>18}   {goal}".rstrip() for name, measured, goal in rows]


if __name__ == "__main__":
    main()
