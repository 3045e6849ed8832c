"""How long it takes until a machine with the system of an image is a party: realised from an empty store, and again after the
agent has changed; the same of all images, and `e3.wsl`, at once; and how long the agent takes to be ready when a machine boots
again. Prints JSON; judges nothing."""

import json
import os
import shutil
import statistics
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .. import rootfs
from ..bench import BOOTS
from ..failure import LabError
from ..realise import empty_store
from .rig import NOTHING, Rig, sources


# The one that is realised by itself.
ONE = "digitalocean"


def run(say):
    """All of it, in a store of its own."""
    found = sources(say)
    if found is None:
        raise LabError(NOTHING)
    # That one is downloaded, not realised.
    rootfs.need(rootfs.NIXOS, say)
    report = {}
    for what, only in (("one", [ONE]), ("all", None)):
        with empty_store():
            with Rig(found, say, only) as rig:
                report[what] = {"cold": rig.seconds}
            with another_agent(), Rig(found, say, only) as rig:
                report[what]["incremental"] = rig.seconds
                if only is None:
                    report["ready_s"] = {image: again(rig, image, say) for image in rig.images}
    print(json.dumps(report))


@contextmanager
def another_agent():
    """The same agent with one byte more: all that depends on it is realised again."""
    before = os.environ["E3_AGENT"]
    with tempfile.TemporaryDirectory(prefix="e3-bench.") as folder:
        changed = Path(folder) / "e3-agent"
        shutil.copy(before, changed)
        with changed.open("ab") as file:
            file.write(b"\0")
        os.environ["E3_AGENT"] = str(changed)
        try:
            yield
        finally:
            os.environ["E3_AGENT"] = before


def again(rig, image, say):
    """Seconds from systemd's start to the agent's READY=1, when the machine has booted before; the median."""
    machine, took = rig[image], []
    for turn in range(BOOTS):
        say(f"{image}: boot {turn + 1} of {BOOTS}")
        machine.power_cut()
        machine.boot()
        took.append(rig.ready(image))
    return statistics.median(took)
