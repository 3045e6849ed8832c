"""Runs the cells of the table, one after the other, and prints what came of each."""

import json
import os
import time
from contextlib import contextmanager

from ..failure import LabError
from ..fleet import need_binary
from ..lab import Lab
from . import states
from .rig import Rig, Violated
from .states import STATES
from .strikes import STRIKES, NotHere, small_disk


def run(args, say):
    """Prints the table, or with `--json` one line; True if no cell has failed."""
    wanted = [strike for strike in STRIKES if not args.only or any(word in strike.name for word in args.only)]
    rooms = [state for state in STATES if not args.state or state.__name__ in args.state]
    cells = []
    for small in (False, True):
        strikes = [strike for strike in wanted if strike.small_disk == small]
        if strikes:
            cells += column(strikes, rooms, small, say)
    if args.json:
        print(json.dumps({"cells": cells}))
    else:
        for cell in cells:
            print(f"{cell['state']:10} {cell['fault']:15} {cell['verdict']:5} {cell['seconds']:6.1f} s  {cell['reason']}")
    return all(cell["verdict"] != "fail" for cell in cells)


def column(strikes, rooms, small, say):
    """The cells that can share machines. After one that fails there are new ones."""
    cells, todo = [], [(state, strike) for strike in strikes for state in rooms]
    while todo:
        with machines(small, say) as rig:
            while todo:
                cell = one(rig, *todo.pop(0))
                cells.append(cell)
                say(f"{cell['state']:10} {cell['fault']:15} {cell['verdict']:5} {cell['seconds']:6.1f} s  {cell['reason']}")
                if cell["verdict"] == "fail":
                    # The machines go away, and nobody else will tell.
                    for party in rig.parties:
                        say(f"--- the agent of {party}\n{rig.fleet.agent_log(party)}")
                    break
    return cells


@contextmanager
def machines(small, say):
    """Three machines in a fleet."""
    with Lab(3, agent=os.environ["E3_AGENT"], say=say) as lab:
        rig = Rig(lab, need_binary())

        def prepare(rig):
            if small:
                small_disk(rig)
            states.prepare(rig)

        rig.start(prepare)
        yield rig


def one(rig, state, strike):
    """Tries one cell."""
    begin = time.monotonic()
    try:
        verdict, reason = "pass", cell(rig, state, strike)
    except NotHere as error:
        verdict, reason = "skip", str(error)
    except (Violated, LabError, AssertionError) as error:
        verdict, reason = "fail", str(error).replace("\n", " | ")
    return {"state": state.__name__, "fault": strike.name, "verdict": verdict, "reason": reason,
            "seconds": round(time.monotonic() - begin, 1)}


def cell(rig, state, strike):
    """Returns what the parties said, if it is what they may say."""
    strike.check(state)
    name = state(rig)
    strike.strike(rig, state)
    states.go_on(rig)
    said = rig.verdict(name)
    if said == "good":
        if state is states.running and strike.kinds and not strike.may_miss:
            raise Violated("the session ended well although it was hit while it ran")
    elif state is states.done or not strike.kinds or (state in states.BEFORE_BARRIER and strike.survives_before):
        raise Violated(f"it should have ended well: {describe(said)}")
    else:
        if any(kind not in strike.kinds or place != rig.place and not (strike.blinds and party == rig.place)
               for party, (kind, place) in enumerate(said)):
            raise Violated(f"not everybody names {rig.victim.name} and what happened there: {describe(said)}")
    rig.clean(name, ran=said == "good" or state not in states.BEFORE_BARRIER)
    return "done, good" if said == "good" else describe(said)


def describe(said):
    """What each party says, in order."""
    return ", ".join(kind if party is None else f"{kind} at p{party}" for kind, party in said)
