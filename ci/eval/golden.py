#!/usr/bin/env python3
"""The golden units in ci/golden and the page of all options: written from what evaluates, compared with it, compared with agent/dist.

    golden.py write EVALUATED     make ci/golden what EVALUATED (JSON: path -> text) says
    golden.py compare EVALUATED   fail if it is anything else
    golden.py dist                without Nix: fail if ci/golden has other units than agent/dist

`install` puts what an image ships into a Debian system, with Debian's paths, for the laboratory (ci/machines/install.py).
"""

import difflib
import json
import re
import shutil
import sys
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
GOLDEN = CLONE / "ci/golden"
DIST = CLONE / "agent/dist"
# Evaluated with the golden units, and no unit: it lies at its own place.
OPTIONS = "modules/README.md"

# What modules/dist.nix replaces, backwards: NixOS' path -> the one in agent/dist. `-/nix/store` is not in the golden
# unit, since a session on NixOS sees only the closure of its Python.
BACK = (
    (re.compile(r"/nix/store/HASH-e3-agent/bin/e3-agent"), "/usr/lib/e3/e3-agent"),
    (re.compile(r"/nix/store/HASH-python3[a-z-]*/bin/python3"), "/usr/bin/python3"),
    (re.compile(r"/nix/store/HASH-tor/bin/tor"), "/usr/bin/tor"),
    (re.compile(r"/nix/store/HASH-(mesh-[a-z]+)"), r"/usr/lib/e3/\1"),
    (re.compile(r"^(Exec\w*=-?)/nix/store/HASH-(?:coreutils|e3-link|iproute2|nebula|openvpn|systemd|tailscale|util-linux)/bin/", re.MULTILINE), r"\1"),
    (
        re.compile(r"^BindReadOnlyPaths=-/usr -/bin -/sbin -/lib -/lib32 -/lib64$", re.MULTILINE),
        "BindReadOnlyPaths=/usr -/bin -/sbin -/lib -/lib32 -/lib64 -/nix/store",
    ),
)
# Folders of agent/dist that are on every image as they are, and where a Debian system has them.
PLACES = {
    "systemd": "usr/lib/systemd/system",
    "tmpfiles.d": "usr/lib/tmpfiles.d",
    "polkit-1/rules.d": "usr/share/polkit-1/rules.d",
    "dbus-1/system.d": "usr/share/dbus-1/system.d",
    "dbus-1/interfaces": "usr/share/dbus-1/interfaces",
}
SETTINGS = "etc/e3/agent.toml"
# In a unit whose program is a text of a NixOS module.
SCRIPT = "/nix/store/HASH-unit-script-"
INSTALL = re.compile(r"^\[Install\]$.*\Z", re.MULTILINE | re.DOTALL)


def main():
    """What the first word says."""
    match sys.argv[1:]:
        case ["write", evaluated]:
            write(load(evaluated))
        case ["compare", evaluated]:
            compare(load(evaluated))
        case ["dist"]:
            dist()
        case _:
            sys.exit(__doc__)


def load(evaluated):
    """The evaluated texts, by path."""
    return json.loads(Path(evaluated).read_text(encoding="utf-8"))


def committed():
    """The committed texts, by path."""
    files = {str(path.relative_to(GOLDEN)): path for path in sorted(GOLDEN.rglob("*")) if path.is_file()}
    return {name: path.read_text(encoding="utf-8") for name, path in [*files.items(), (OPTIONS, CLONE / OPTIONS)] if path.exists()}


def write(texts):
    """Replaces ci/golden."""
    shutil.rmtree(GOLDEN, ignore_errors=True)
    for name, text in texts.items():
        path = CLONE / name if name == OPTIONS else GOLDEN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{len(texts)} files are in ci/golden and {OPTIONS}; look at the difference before you commit it")


def compare(texts):
    """Fails if ci/golden is not what evaluates."""
    differences(committed(), texts, "ci/golden", "evaluated", "If it is meant, write it: ci/nix golden --write")


def dist():
    """Fails if the units in ci/golden are not those of agent/dist."""
    sources = {}
    for folder in PLACES:
        for path in sorted((DIST / folder).rglob("*")):
            if path.is_file():
                sources[str(path.relative_to(DIST))] = path.read_text(encoding="utf-8")
    if not sources:
        sys.exit(f"error: {DIST} has none of {', '.join(PLACES)}")
    golden = {name.removeprefix("common/"): debian(text) for name, text in committed().items() if name.startswith("common/")}
    shipped = {name: golden.get(name, "") for name in sources}
    differences(sources, shipped, "agent/dist", "ci/golden/common", "Evaluate it anew: ci/nix golden --write")
    print(f"{len(sources)} files of agent/dist are what the golden units say")


def debian(text):
    """A golden text with the paths of agent/dist."""
    for pattern, original in BACK:
        text = pattern.sub(original, text)
    return text


def differences(old, new, old_name, new_name, remedy):
    """Shows them, and fails if there are any."""
    shown = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, ""), new.get(name, "")
        if before != after or (name in old) != (name in new):
            shown += difflib.unified_diff(
                before.splitlines(), after.splitlines(), f"{old_name}/{name}", f"{new_name}/{name}", lineterm=""
            )
    if shown:
        print("\n".join(shown))
        sys.exit(f"error: {old_name} and {new_name} differ. {remedy}")


def images():
    """The images that there are golden units of."""
    return sorted(path.name for path in GOLDEN.iterdir() if path.name != "common")


def install(image, root):
    """Puts what the image ships under `root`: `common`, and the image's own files over it. Returns the units to enable.

    NixOS starts what its own files say, and does not read [Install] in those of agent/dist; so it is taken out of those."""
    enable = []
    for name, text in committed().items():
        owner, path = name.split("/", 1)
        target = place(path)
        if owner not in ("common", image) or target is None or needs_nixos(path):
            continue
        if path.startswith("systemd/") and (DIST / path).exists():
            text = INSTALL.sub("", text)
        elif "[Install]" in text:
            enable.append(path.split("/")[1].removesuffix(".d"))
        target = root / target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(on_debian(text), encoding="utf-8")
    return enable


def place(path):
    """Where a Debian system has a file of an image; None if it has none."""
    if path == SETTINGS:
        return Path(path)
    found = (Path(there, path.removeprefix(f"{here}/")) for here, there in PLACES.items() if path.startswith(f"{here}/"))
    return next(found, None)


def needs_nixos(path):
    """Whether it is a unit with a script that only NixOS has, or what starts such a one."""
    stem = path.rpartition(".")[0]
    return any(SCRIPT in text for name, text in committed().items() if name.partition("/")[2].startswith(f"{stem}."))


def on_debian(text):
    """A golden text with Debian's paths. What is nowhere in Debian is left out: its line is NixOS' own addition."""
    text = re.sub(r"/nix/store/HASH-[^/\s:\"]+/s?bin/", "/usr/bin/", debian(text))
    return "".join(line for line in text.splitlines(keepends=True) if "/nix/store/" not in line)


if __name__ == "__main__":
    main()
