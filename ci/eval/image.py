#!/usr/bin/env python3
"""Builds an image, or a program that is released, twice and compares; puts it into a folder with its checksums and its software
bill of materials; and holds its size against ci/budget.toml.

    image.py --flake FLAKE --to FOLDER NAME

Runs where Nix is and whatever the image needs can be built or downloaded. The last line is JSON. Everything is written
before anything is judged, so that there is something to look at.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from budget import BUDGET, load
from evaluate import Nix, options

MIB = 1024 * 1024
# What Nix says when the second build is not the first one.
DIFFERS = re.compile(r"may not be deterministic")


def main():
    """One image."""
    parser = options(__doc__)
    parser.add_argument("--to", required=True, type=Path, help="an empty folder, or one that is made")
    parser.add_argument("--no-sbom", action="store_true", help="without the bill of materials, whose tool has to be downloaded")
    parser.add_argument("--budget", default=BUDGET, type=Path, help="(default: %(default)s)")
    parser.add_argument("image")
    args = parser.parse_args()
    nix = Builder(args)
    system = nix.system()
    known = load(args.budget)["released"].get(system, {})
    if args.image not in known:
        sys.exit(f"error: ci/budget.toml has no {args.image} for {system}; it has {', '.join(known)}")
    args.to.mkdir(parents=True, exist_ok=True)
    if any(args.to.iterdir()):
        sys.exit(f"error: {args.to} is not empty; name another folder, or empty it")

    package = f"packages.{system}.{args.image}"
    built = nix.build(package)
    contents = nix.build(f"{package}.contents")
    files = copy(built, args.to)
    made = Made(args.image, system, nix.equal(package), size(files), nix.beyond(contents, nix.bare(system)), checksums(args.to, files))
    if not args.no_sbom:
        nix.sbom(contents, args.to / "sbom")
    for line in made.lines():
        print(line)
    print(json.dumps(asdict(made)))
    wrong = made.judge(known[args.image])
    if wrong:
        sys.exit("error: " + "; ".join(wrong))


@dataclass(frozen=True)
class Made:
    """What became of an image. Sizes are in bytes."""

    image: str
    system: str
    # Whether a second build gave the same bits.
    equal: bool
    file: int
    beyond: int
    sha256: dict

    def lines(self):
        """For people."""
        yield f"{self.image} for {self.system}: {mib(self.file)} to download; beyond a bare NixOS it has {mib(self.beyond)}"
        yield "built twice: " + ("the same, bit for bit" if self.equal else "not the same")
        for name, digest in self.sha256.items():
            yield f"{digest}  {name}"

    def judge(self, limits):
        """What is not as ci/budget.toml has it."""
        wrong = [
            f"{self.image} {what} {mib(has)}, and may be {limits[name]} MiB: make it smaller, or change ci/budget.toml and say why"
            for name, what, has in (("file", "is", self.file), ("beyond", "has beyond a bare NixOS", self.beyond))
            if has > limits[name] * MIB
        ]
        if limits["exact"] and not self.equal:
            wrong.append(f"{self.image} was built twice and differs: find what it depends on; images/README.md promises that it is equal")
        return wrong


class Builder(Nix):
    """Nix, where things can be built."""

    def __init__(self, args):
        super().__init__(args)
        self.build_options = [option for option in self.options if option != "--no-eval-cache"]

    def system(self):
        """The kind of computer that this is, as Nix calls it."""
        return self.answer("the system", ["nix", "eval", "--raw", "--impure", "--expr", "builtins.currentSystem"])

    def build(self, attribute):
        """Builds, and returns the path; the end if that fails."""
        return self.try_build(attribute) or sys.exit(f"error: {attribute} cannot be built")

    def try_build(self, attribute):
        """The same, or None. What Nix says goes where it can be read meanwhile."""
        command = ["nix", "build", "--no-link", "--print-out-paths", "--print-build-logs", *self.build_options, f"{self.flake}#{attribute}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        return None if done.returncode else done.stdout.strip()

    def bare(self, system):
        """The path of a bare NixOS."""
        return self.build(f"lib.bare.{system}.config.system.build.toplevel")

    def equal(self, attribute):
        """Whether a second build of the same gives the same. Of what it is made of, the first build is taken."""
        command = ["nix", "build", "--no-link", "--rebuild", *self.build_options, f"{self.flake}#{attribute}"]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        sys.stderr.write(done.stderr)
        if done.returncode and not DIFFERS.search(done.stderr):
            sys.exit(f"error: {attribute} cannot be built a second time")
        return done.returncode == 0

    def beyond(self, path, other):
        """The bytes in the closure of `path` that are not in that of `other`."""
        has, bare = self.closure(path), self.closure(other)
        return sum(bytes_ for name, bytes_ in has.items() if name not in bare)

    def closure(self, path):
        """Path -> bytes, of everything that a path needs to run."""
        listed = self.answer(path, ["nix", "path-info", "--recursive", "--size", path])
        return {name: int(bytes_) for name, bytes_ in (line.split() for line in listed.splitlines())}

    def sbom(self, path, name):
        """What is in it, in the three forms that there are: CycloneDX, SPDX, and a table."""
        forms = [f"--{form}={name}.{suffix}" for form, suffix in (("cdx", "cdx.json"), ("spdx", "spdx.json"), ("csv", "csv"))]
        command = ["nix", "run", "--inputs-from", self.flake, "nixpkgs#sbomnix", "--", path, *forms]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"error: sbomnix makes no bill of materials of {path}")


def copy(built, folder):
    """Copies the files of a build, which are one or a folder; returns them. What is for Nix alone stays where it is."""
    source = Path(built)
    if source.is_file():
        # `…-e3.wsl`, without the hash.
        names = {source: source.name.partition("-")[2]}
    else:
        names = {path: path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()}
        names = {path: name for path, name in names.items() if name.parts[0] != "nix-support"}
    if not names:
        sys.exit(f"error: there is no file in {built}")
    copied = []
    for path, name in names.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
        copied.append(target)
    return copied


def checksums(folder, files):
    """Writes SHA256SUMS, for `sha256sum --check`; returns name -> digest."""
    sums = {}
    for path in files:
        with path.open("rb") as file:
            sums[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    folder.joinpath("SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()), encoding="utf-8")
    return sums


def size(files):
    """Bytes in all."""
    return sum(os.stat(path).st_size for path in files)


def mib(bytes_):
    """For people."""
    return f"{bytes_ / MIB:.1f} MiB"


if __name__ == "__main__":
    main()
