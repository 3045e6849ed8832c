"""Takes laboratories down, and finds those of this clone that nobody will take down any more.

A laboratory is left over when the process that held it is gone, when `up` never finished, or when the computer was
restarted. Whoever makes or holds one has its lock, and the kernel frees a lock with its owner.
"""

import os
import shutil

from . import cgroup, record
from .place import base, clone_prefix, locked


def folder(full_name):
    """The folder of a laboratory."""
    return base() / full_name


def lock(full_name):
    """The lock of whoever brings it up, holds it or takes it down. Beside the folder, which goes away."""
    return base() / f"{full_name}.lock"


def destroy(full_name):
    """Ends everything in a laboratory and removes what it had. The caller has its lock."""
    cgroup.of_lab(full_name).remove()
    shutil.rmtree(folder(full_name), ignore_errors=True)
    if folder(full_name).exists():
        # A file system that was unmounted just now can be busy for an instant; what then still fails is an error.
        shutil.rmtree(folder(full_name))


def names():
    """The laboratories of this clone, whole or in pieces."""
    prefix = clone_prefix()
    groups = cgroup.hierarchy().glob(cgroup.PREFIX + prefix + "*")
    found = {path.name.removeprefix(cgroup.PREFIX) for path in groups}
    found |= {path.name for path in base().glob(prefix + "*") if path.is_dir()}
    return sorted(found)


def is_live(full_name):
    """Whether it is up and was meant to stay."""
    kept = record.load(folder(full_name))
    return kept is not None and kept.detached and cgroup.of_lab(full_name).populated()


def left_over(say):
    """Removes the laboratories of this clone that are left over, and returns their names."""
    gone = []
    for full_name in names():
        with locked(lock(full_name), wait=False) as mine:
            if mine and not is_live(full_name):
                say(f"removing what is left of the laboratory {full_name}")
                destroy(full_name)
                gone.append(full_name)
    for path in base().glob(clone_prefix() + "*.lock"):
        if not folder(path.name.removesuffix(".lock")).exists():
            with locked(path, wait=False) as mine:
                if mine:
                    os.unlink(path)
    return gone
