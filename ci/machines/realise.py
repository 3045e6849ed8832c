"""Realises the NixOS systems of our images over Debian's programs: real modules, activation and units, nothing downloaded.

Nix runs in an overlay of the Debian system that the machines have, too (`rootfs.NIXOS`, `ci/offline`): what it builds are
links to the programs in there. What it has built is kept in the cache folder, so only what changed is built again.
"""

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import rootfs
from .failure import LabError
from .place import CLONE, cache, locked

IMAGES = ("digitalocean", "raspberrypi", "wsl")
OFFLINE = CLONE / "ci/offline"
# How many systems stay when the garbage is taken out; what a laboratory runs is among the newest.
KEPT_SYSTEMS = 24
# `fsync-metadata`: a thousand small files, each of which can be made again.
NIX_CONFIG = """\
extra-experimental-features = nix-command
build-users-group =
sandbox = false
substituters =
fsync-metadata = false
max-jobs = 2
cores = 2
"""
# Run in namespaces of its own, so that mounts and builders end with it. $1: the Debian system; $2: what becomes /nix;
# then pairs of what is bound and where, up to `--`, and what runs.
ENTER = """
set -e
root=/run/root lower=$1 nix=$2; shift 2
mount -t tmpfs tmpfs /run
mkdir /run/changes /run/work $root
mount -t overlay -o "lowerdir=$lower,upperdir=/run/changes,workdir=/run/work" overlay $root
mkdir -p $root/nix
mount --bind "$nix" $root/nix
mount --rbind /dev $root/dev
mount -t devpts -o newinstance,ptmxmode=666 devpts $root/dev/pts
mount -t proc proc $root/proc
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root${2%/*}"; touch "$root$2"; fi
  mount --bind -o ro "$1" "$root$2"; shift 2
done
shift
exec chroot $root "$@"
"""
# Prints one toplevel per image. Registered as roots before anything else may collect them.
BUILD = """
set -e
[ -z "$WHEEL" ] || nix-store --add-fixed sha256 "$WHEEL" >&2
arguments=(--arg nixpkgs /src/nixpkgs --arg e3 /src/e3 --arg agent /src/e3-agent)
[ ! -e /src/nixos-wsl ] || arguments+=(--arg nixos-wsl /src/nixos-wsl)
roots=/nix/var/nix/gcroots/e3
mkdir -p $roots
# Each evaluates by itself, two at a time; what they wait for is the processor.
printf '%s\n' "$@" | xargs -P 2 -I{} bash -ec '
  nix-instantiate "${@:2}" --attr "$1" --add-root "/tmp/$1.drv" /src/e3/ci/offline >/dev/null || exit 255' bash {} "${arguments[@]}"
nix-store --realise $(printf '/tmp/%s.drv ' "$@") >/tmp/built
while read -r system; do ln -sfn "$system" "$roots/${system##*/}"; done </tmp/built
ls -t $roots | tail -n +$((KEPT + 1)) >/tmp/old
if [ -s /tmp/old ]; then
  sed "s,^,$roots/," /tmp/old | xargs rm
  nix-store --gc >&2
fi
cat /tmp/built
"""


@dataclass(frozen=True)
class Sources:
    """What systems are made of, besides this clone."""

    nixpkgs: Path
    # Without it there is no `wsl`.
    nixos_wsl: Path | None

    @classmethod
    def from_environment(cls):
        """E3_NIXPKGS and E3_NIXOS_WSL, as for `ci/nix check`; None if the first is not set."""
        nixpkgs, wsl = os.environ.get("E3_NIXPKGS"), os.environ.get("E3_NIXOS_WSL")
        if not nixpkgs:
            return None
        inside = "nixos/lib/eval-config.nix"
        if not Path(nixpkgs, inside).exists():
            raise LabError(f"E3_NIXPKGS names {nixpkgs}, where there is no {inside}; set it to the folder of a checkout")
        return cls(Path(nixpkgs).resolve(), tree("nixos-wsl", Path(wsl).resolve()) if wsl else None)

    def images(self):
        """The images that can be made of these."""
        return [image for image in IMAGES if image != "wsl" or self.nixos_wsl]


def tree(name, repository):
    """The files of an input in the revision of flake.lock, out of a git repository of it; kept where `ci/nix` keeps them."""
    revision = json.loads((CLONE / "flake.lock").read_text(encoding="utf-8"))["nodes"][name]["locked"]["rev"]
    path = cache().parent / "nix" / f"{name}-{revision}"
    with locked(cache() / f"{name}.lock"):
        if path.exists():
            return path
        path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new.", dir=path.parent) as new:
            script = 'set -o pipefail; git -C "$1" archive "$2" | tar -x -C "$3"'
            made = Path(new, "tree")
            made.mkdir()
            done = subprocess.run(["bash", "-c", script, "bash", repository, revision, made], capture_output=True, text=True, check=False)
            if done.returncode:
                raise LabError(f"{repository} is no git repository that has revision {revision}, which flake.lock has for {name}: "
                               + done.stderr.strip())
            os.rename(made, path)
    return path


def store():
    """The folder that is `/nix` while building; its `store` is the machines'. Of its own for each Debian system, whose
    programs everything in it links to."""
    path = _empty or cache().parent / "nix" / rootfs.NIXOS.path().name
    (path / "store").mkdir(parents=True, exist_ok=True)
    return path


# The store of `empty_store`, while there is one.
_empty = None


@contextmanager
def empty_store():
    """Realises, and boots from, a store that was empty; it is gone afterwards."""
    global _empty
    with tempfile.TemporaryDirectory(prefix="empty.", dir=store().parent, ignore_cleanup_errors=True) as folder:
        _empty = Path(folder) / "nix"
        try:
            yield
        finally:
            _empty = None


def realise(images, sources, agent, say):
    """Builds the systems of these images; returns their toplevels by image. What fails is said with Nix' own words."""
    root = rootfs.need(rootfs.NIXOS, say)
    wheel = os.environ.get("E3_TEST_WHEEL", "")
    binds = {sources.nixpkgs: "/src/nixpkgs", CLONE: "/src/e3", agent: "/src/e3-agent"}
    if sources.nixos_wsl:
        binds[sources.nixos_wsl] = "/src/nixos-wsl"
    inside = ""
    if wheel:
        inside = "/src/" + Path(wheel).name
        binds[wheel] = inside
    environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin", "HOME=/var/empty", f"NIX_CONFIG={NIX_CONFIG}", f"WHEEL={inside}",
                   f"KEPT={KEPT_SYSTEMS}"]
    command = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--mount", "--pid", "--ipc", "--net", "--fork",
               "--kill-child", "--propagation", "private", "--", "sh", "-c", ENTER, "sh", root, store(),
               *(part for pair in binds.items() for part in pair), "--", *environment, "bash", "-c", BUILD, "bash", *images]
    # One after the other: collecting garbage must not meet a build.
    with locked(store().with_suffix(".lock")):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"the NixOS systems cannot be realised; Nix says:\n{done.stderr.strip()[-6000:]}")
    return dict(zip(images, done.stdout.split(), strict=True))
