#!/usr/bin/env python3
"""Each file that the programs compile in is in the source of their Nix package (agent/package.nix), or Nix builds none of them.

Runs without Nix, in a blink: reads the sources, and the fileset as it is written. `--self-test` leaves each file out once,
and must be told of it. What only tests and benchmarks compile in is not needed, except that the package tests e3-core.
"""

import re
import sys
from pathlib import Path

AGENT = Path(__file__).resolve().parents[2] / "agent"
INCLUDE = re.compile(r'\binclude(?:_str|_bytes)?!\(\s*"([^"]+)"')
# What a build script reads, it tells Cargo.
READ = re.compile(r'cargo::?rerun-if-changed=([^"{}]+)')
TESTS = re.compile(r"^#\[cfg\(test\)\]\nmod \w+ \{\n.*?^\}", re.MULTILINE | re.DOTALL)
FILESET = re.compile(r"fileset = fs\.unions \[\n(.*?)^    \];", re.MULTILINE | re.DOTALL)
# The two ways in which package.nix names files.
PATH = re.compile(r"\.\.?/\S+")
FILTER = re.compile(r"\(fs\.fileFilter \(file: (.+)\) (\./\S*)\)")
CONDITION = re.compile(r'file\.name == "([^"]+)"|file\.hasExt "([^"]+)"')


def main():
    """Says how many there are, or which are left out."""
    lines = fileset((AGENT / "package.nix").read_text(encoding="utf-8"))
    gone = [line for line in lines if PATH.fullmatch(line) and not (AGENT / line).exists()]
    if gone:
        sys.exit(f"error: agent/package.nix names what is not there: {' '.join(gone)}")
    needed = compiled_in()
    if not needed:
        sys.exit("error: found nothing that is compiled in; ci/eval/compiled.py looks for it in the wrong way")
    report(left_out(needed, lines))
    if sys.argv[1:] == ["--self-test"]:
        self_test(needed, lines)
    print(f"{len(needed)} files are compiled in, and in the package's source")


def compiled_in():
    """File -> the source that compiles it in."""
    found = {}
    for source in sorted(AGENT.glob("*/src/**/*.rs")) + sorted(AGENT.glob("*/build.rs")):
        inside = source.relative_to(AGENT)
        text = source.read_text(encoding="utf-8")
        if inside.parts[0] != "core":
            if "tests" in inside.parts or source.name == "tests.rs":
                continue
            text = TESTS.sub("", text)
        pattern = READ if source.name == "build.rs" and len(inside.parts) == 2 else INCLUDE
        for name in pattern.findall(text):
            found[(source.parent / name).resolve()] = inside
    return found


def fileset(text):
    """The lines of the fileset, without comments; fails at one that this program cannot read."""
    match = FILESET.search(text)
    if not match:
        sys.exit("error: agent/package.nix has no `fileset = fs.unions [`, which ci/eval/compiled.py reads")
    lines = [line.strip() for line in match[1].splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        rule = FILTER.fullmatch(line)
        if not PATH.fullmatch(line) and not (rule and all(CONDITION.fullmatch(part) for part in rule[1].split(" || "))):
            sys.exit(f"error: ci/eval/compiled.py cannot read this line of the fileset in agent/package.nix: {line}")
    return lines


def has(line, file):
    """Whether a line of the fileset stands for this file."""
    rule = FILTER.fullmatch(line)
    place = (AGENT / (rule[2] if rule else line)).resolve()
    if not file.is_relative_to(place):
        return False
    return rule is None or any(file.name == name or extension and file.name.endswith("." + extension)
                               for name, extension in CONDITION.findall(rule[1]))


def left_out(needed, lines):
    """Those of the files that no line stands for."""
    return {file: source for file, source in needed.items() if not any(has(line, file) for line in lines)}


def report(missing):
    """Fails with a line for each of them."""
    if missing:
        sys.exit("error: add to the fileset in agent/package.nix, or Nix cannot build the programs:\n" + "\n".join(
            f"  ./{file.relative_to(AGENT)}  compiled into agent/{source}" for file, source in missing.items()))


def self_test(needed, lines):
    """Without the lines that stand for a file, it is missed."""
    for file in needed:
        if file not in left_out(needed, [line for line in lines if not has(line, file)]):
            sys.exit(f"error: {file} can be left out without anybody being told")


if __name__ == "__main__":
    main()
