"""`ci/lab demo`: three real machines, one computation, as a new user would do it."""

import json
import os
import time

from . import rootfs
from .failure import LabError
from .fleet import INPUT, Fleet, need_binary
from .lab import Lab
from .place import CLONE

PROGRAM = CLONE / "agent/cli/programs/average.py"
SALARIES = (45919, 53838, 77595)
# Long lines of output that a reader does not need: keys, digests, what to do next.
SHOWN_LINES = 1


def run(args, say):
    """Prints commands and what they answer; with `--json` ends with one line of JSON."""
    show = (lambda line: None) if args.json else print
    e3 = need_binary()
    # Not part of what the demo shows, and done once.
    rootfs.need(rootfs.CONTAINER, say)
    begin = time.monotonic()
    with Lab(3, network_kind=args.network, agent=os.environ["E3_AGENT"], say=say) as lab:
        show("$ ci/lab up 3")
        for name, seconds in lab.booted.items():
            show(f"{name} is up after {seconds:.1f} s")
        up = time.monotonic() - begin
        fleet = Fleet(lab, e3, lambda command, output: show_command(show, command, output))
        fleet.start()
        joined = time.monotonic() - begin
        show(f"# On each machine: a private number in {INPUT}, and a policy that lends it to sessions.")
        fleet.give_inputs(SALARIES)
        fleet.folder.joinpath(PROGRAM.name).write_bytes(PROGRAM.read_bytes())
        fleet.sign("salaries", PROGRAM.name)
        pushed = time.monotonic()
        fleet.push("salaries", "--watch", "--timeout", "120")
        done = time.monotonic() - pushed
        result = lab["p0"].run(["e3-agent", "result", "salaries"]).out.strip()
        if result != expected():
            raise LabError(f"the machines computed `{result}`; it should be `{expected()}`")
        show(f"$ ci/lab exec p0 -- e3-agent result salaries\n{result}")
        units = lab["p0"].journal(None, "--output=cat", "--grep=E3 session .*").strip()
        show(f"$ ci/lab logs p0   # the session ran in a unit of the image\n{units}")
    show(f"\nMachines up after {up:.1f} s, joined after {joined:.1f} s; {done:.1f} s from push to the last receipt.")
    if args.json:
        print(json.dumps({"outcome": "done", "result": result, "parties": 3,
                          "seconds": {"up": round(up, 2), "joined": round(joined, 2), "push_to_receipts": round(done, 2)}}))


def expected():
    """What the program must print, computed from what it must not see."""
    return f"The average salary of {len(SALARIES)} people is {sum(SALARIES) / len(SALARIES):,.2f}."


def show_command(show, command, output):
    """A command as one would type it, and the first line of its answer; a table whole."""
    lines = [line for line in output.splitlines() if line]
    shown = lines if lines and lines[0].startswith("PARTY") else lines[:SHOWN_LINES]
    show(f"$ {command}")
    for line in shown:
        show(line)
