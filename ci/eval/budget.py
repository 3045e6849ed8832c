#!/usr/bin/env python3
"""Counts what the systems of the images need beyond a bare NixOS, in derivations, and holds ci/budget.toml against it.

Runs where Nix is, like evaluate.py, and takes the same options. Derivations are written to the store, nothing is built.
"""

import concurrent.futures
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from evaluate import Nix, options

BUDGET = Path(__file__).resolve().parents[1] / "budget.toml"


def main():
    """Prints a line for each system; the last one is JSON. Fails if one is over its limit."""
    args = options(__doc__).parse_args()
    nix = Nix(args)
    limits = load(BUDGET)
    allowed = {image: (system, limit) for system, images in limits["derivations"].items() for image, limit in images.items()
               if not any(word in image for word in args.without)}
    counted = count(nix, {image: system for image, (system, _) in allowed.items()}, args.jobs)
    wrong = listed(nix, limits)
    for image, number in counted.items():
        limit = allowed[image][1]
        print(f"{image:14} {number:5} derivations beyond a bare NixOS, of {limit}")
        if number > limit:
            wrong.append(f"{image} needs {number} derivations that a bare NixOS does not, and may need {limit}")
    print(json.dumps(counted))
    if wrong:
        sys.exit("error: " + "; ".join(wrong) + ". Make it smaller, or change ci/budget.toml and say why.")


def load(path):
    """The limits."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def listed(nix, limits):
    """What is wrong with the list of what is released: each thing that the flake has must have a limit, and nothing else."""
    has = {(system, name) for system, names in json.loads(nix.text("lib.released", "--json")).items() for name in names}
    known = {(system, name) for system, names in limits["released"].items() for name in names}
    return [f"released.{system}.{name} is {'missing' if (system, name) in has else 'nothing that the flake has'}"
            for system, name in sorted(has ^ known)]


def count(nix, systems, jobs):
    """Image -> how many derivations are in the closure of its system's, and not in that of a bare one's. `systems`: image ->
    the kind of computer."""
    names = {image: f"nixosConfigurations.{image}" for image in systems}
    names |= {system: f"lib.bare.{system}" for system in systems.values()}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        found = dict(zip(names, pool.map(lambda name: closure(nix, name), names.values())))
    return {image: len(found[image] - found[system]) for image, system in systems.items()}


def closure(nix, name):
    """The derivations that are needed to make a system."""
    top = nix.write(f"{name}.config.system.build.toplevel.drvPath")
    done = subprocess.run(["nix-store", "--query", "--requisites", top], capture_output=True, text=True, check=True)
    return {path for path in done.stdout.split() if path.endswith(".drv")}


if __name__ == "__main__":
    main()
