"""The agent in a system: the binary, and everything in `agent/dist/`, at the places where images have them.

These are the very files that packages and NixOS modules install, so what is tested in the laboratory is what ships. A machine
can also have what one of our images makes of them: its golden units and settings (`ci/golden`).
"""

import os
import shutil
import subprocess
from pathlib import Path

from eval import golden

from .failure import LabError
from .place import CLONE

BINARY = "usr/lib/e3/e3-agent"
# Folder in agent/dist -> folder in the system.
PLACES = {
    "lib": "usr/lib/e3",
    "systemd": "usr/lib/systemd/system",
    "sysusers.d": "usr/lib/sysusers.d",
    "tmpfiles.d": "usr/lib/tmpfiles.d",
    "polkit-1/rules.d": "usr/share/polkit-1/rules.d",
    "dbus-1/system.d": "usr/share/dbus-1/system.d",
    "dbus-1/interfaces": "usr/share/dbus-1/interfaces",
    "etc/e3": "etc/e3",
    "share": "usr/share/e3",
}
# Of agent/dist on an image as it is: NixOS makes its users otherwise, and the rest is in the golden units.
BESIDE_GOLDEN = ("sysusers.d", "share")
# What an image's builder does after copying.
FINISH = """
set -eu
systemd-sysusers
[ $# = 0 ] || systemctl --quiet enable "$@"
"""


def dist():
    """The folder with what is installed beside the binary."""
    return Path(os.environ.get("E3_DIST") or CLONE / "agent/dist")


def install(holder, layer, agent, image=None, programs=()):
    """Puts the agent into a layer: files, user, and the units enabled as an image has them. With `image`, as that one. And
    more programs."""
    enable = copy(layer.upper, agent, image)
    for program in programs:
        shutil.copy(program, layer.upper / "usr/bin")
    done = subprocess.run(layer.chroot(holder.pid, ["sh", "-c", FINISH, "sh", *enable]), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"the agent's user and unit cannot be set up in the new system: {done.stderr.strip()}")


def copy(root, agent, image):
    """Copies the files to their places under `root`; returns the units to enable."""
    binary = root / BINARY
    binary.parent.mkdir(parents=True)
    shutil.copyfile(agent, binary)
    binary.chmod(0o755)
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    (root / "usr/bin/e3-agent").symlink_to("/" + BINARY)
    if not dist().is_dir():
        return []
    for source in sorted(dist().rglob("*")):
        relative = source.relative_to(dist())
        if source.is_dir() or (image and relative.parts[0] not in BESIDE_GOLDEN):
            continue
        target = root / place(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    if image:
        return golden.install(image, root)
    return ["e3-agent.service"] if (root / PLACES["systemd"] / "e3-agent.service").exists() else []


def place(relative):
    """Where a file of agent/dist goes; a file with no known place is a mistake, not something to leave out."""
    for folder, target in PLACES.items():
        if relative.is_relative_to(folder):
            return Path(target) / relative.relative_to(folder)
    raise LabError(f"agent/dist/{relative} has no place in a system: add its folder to PLACES in {__file__}")
