"""The Debian systems that machines are made of: built once by mmdebstrap, kept, never changed afterwards.

It is named by a hash of everything that decides what is in it, so a changed list makes a new one. Not in the hash is
what Debian publishes meanwhile: remove the folder to get today's packages.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from .failure import LabError
from .place import cache, locked

SUITE = "trixie"
MIRROR = os.environ.get("E3_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = (
    "systemd", "systemd-sysv", "libpam-systemd", "dbus", "polkitd",
    # What sessions run, and what MPyC uses when it is there.
    "python3", "python3-numpy", "python3-gmpy2",
    "nftables", "iproute2", "iputils-ping", "ca-certificates", "curl",
    # The way it was done before E3, to compare with; and how an emulated machine is talked to.
    "openssh-server", "pssh", "rsync",
)
OPTIONS = (
    "--variant=minbase",
    '--aptopt=Apt::Install-Recommends "false"',
    # Nobody reads manuals in there.
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "info", "locale", "lintian")),
)
# Run in the finished system. Machines must not share ssh host keys or a machine id, and write a journal that stays.
FINISH = """
set -eu
rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/lib/dbus/machine-id
mkdir -p /var/log/journal
systemctl disable ssh.service ssh.socket apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer
ln -sf /usr/share/zoneinfo/UTC /etc/localtime
"""


# What a machine with a kernel of its own does not need: it boots without an initial file system, and nobody looks at it.
KERNEL_FINISH = """
rm -rf /boot/initrd.img-* /usr/lib/modules/*/kernel/drivers/gpu /usr/lib/modules/*/kernel/drivers/infiniband
"""


@dataclass(frozen=True)
class Recipe:
    """What a system is made of."""

    name: str
    packages: tuple
    finish: str

    def path(self):
        """Where it is, or will be: named by everything that decides what is in it."""
        recipe = json.dumps([SUITE, self.packages, OPTIONS, self.finish])
        return cache() / f"{SUITE}-{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"


# Nix, the tools of its `native` build environment (lndir is in xutils-dev), and what a NixOS machine runs, which is linked
# to from its store (ci/offline/farms.nix).
NIX_PACKAGES = (
    "nix-bin", "git", "gcc", "libc6-dev", "make", "patch", "gawk", "file", "cpio", "xutils-dev", "xsltproc", "libxml2-utils",
    "patchelf", "libfile-slurp-perl", "libjson-perl", "jq", "xxd", "zstd", "xz-utils", "bzip2", "sqlite3", "gettext-base",
    "procps", "kmod", "less", "nano", "iptables", "util-linux-extra", "e2fsprogs", "dosfstools", "login", "passwd",
    "python3-uvloop",
)
# The scripts of that build environment want bash. A NixOS machine has this system's /usr and nothing of its /etc, so no link
# may go through /etc/alternatives: numpy's libraries do.
NIX_FINISH = """
ln -sf bash /usr/bin/sh
find /usr -type l -lname '/etc/alternatives/*' | while read -r link; do ln -sf "$(readlink -f "$link")" "$link"; done
"""

# The daemons of meshes, as far as Debian has them.
MESH_PACKAGES = ("openvpn", "tinc", "tor", "wireguard-go", "wireguard-tools")
# Nobody but the agent starts one.
MESH_FINISH = """
systemctl disable openvpn.service tinc.service tor.service
"""

CONTAINER = Recipe("container", PACKAGES, FINISH)
MESHES = Recipe("meshes", (*PACKAGES, *MESH_PACKAGES), FINISH + MESH_FINISH)
NIXOS = Recipe("nixos", (*PACKAGES, *NIX_PACKAGES), FINISH + NIX_FINISH)
EMULATED = Recipe("emulated", (*PACKAGES, "linux-image-cloud-amd64"), FINISH + KERNEL_FINISH)


def need(recipe, say):
    """Returns the folder of a system, building it (a minute or two) if this computer has not got it."""
    root = recipe.path()
    if ":" in str(root) or "," in str(root):
        raise LabError(f"{root} has a `:` or `,` in it, which overlays cannot have; set XDG_CACHE_HOME to another folder")
    if root.exists():
        return root
    with locked(cache() / "rootfs.lock"):
        if not root.exists():
            say(f"building Debian {SUITE} once (a minute or two) in {root}")
            build(recipe, root)
    return root


def build(recipe, root):
    """Makes it beside its place, and moves it there when it is complete."""
    for left_over in cache().glob("new.*"):
        # The lock is ours, so nobody else is at work on it.
        shutil.rmtree(left_over)
    work = tempfile.mkdtemp(prefix="new.", dir=cache())
    try:
        made = f"{work}/root"
        source = f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main"
        debootstrap = ["mmdebstrap", "--mode=root", *OPTIONS, f"--include={','.join(recipe.packages)}", SUITE, made, source]
        for command in (debootstrap, ["chroot", made, "sh", "-c", recipe.finish]):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False)
            if done.returncode:
                raise LabError(f"{command[0]} failed with status {done.returncode}:\n{done.stdout[-3000:]}")
        os.rename(made, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
