"""Where a laboratory keeps what it has, and which laboratories belong to this clone of E3.

A laboratory has one name everywhere: its folder in `/var/lib/e3-lab`, its control group `e3-lab-…`. The name begins with
a hash of the clone's path, so that two clones (or two users) never see each other's laboratories.
"""

import fcntl
import hashlib
import os
import re
from contextlib import contextmanager
from pathlib import Path

from .failure import LabError

CLONE = Path(__file__).resolve().parents[2]
# On a disk: overlays need extended attributes, and a machine's disk may be large. Only root can get in.
BASE = Path("/var/lib/e3-lab")
# The laboratory of `ci/lab up` when no name is given.
DEFAULT = "default"


def clone_prefix():
    """What the names of this clone's laboratories begin with."""
    return hashlib.sha256(os.fsencode(CLONE)).hexdigest()[:8] + "-"


def full_name(name):
    """The name of this clone's laboratory `name`, as it is used for folders and control groups."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise LabError(f"{name!r} cannot be the name of a laboratory: use up to 32 of a-z, 0-9 and `-`")
    return clone_prefix() + name


def cache():
    """Where things are kept that take long to make; the same folder as that of the other scripts in `ci/`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "e3" / "lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def base():
    """The folder of all laboratories on this computer."""
    BASE.mkdir(mode=0o700, exist_ok=True)
    return BASE


@contextmanager
def locked(path, wait=True):
    """Holds the lock file `path`; yields False if somebody else has it and `wait` is false.

    The kernel gives the lock back when its holder dies, however it dies. Whoever has the lock may remove the file.
    """
    while True:
        with open(path, "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if is_at(file, path):
                yield True
                return


def is_at(file, path):
    """Whether the open file is (still) the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
