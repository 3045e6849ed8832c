"""Runs the cells of the table, one after the other, and prints what came of each."""

import os
import time
from contextlib import contextmanager

from ..cells import Violated, show
from ..failure import LabError
from ..fleet import need_binary
from ..lab import Lab
from . import states
from .rig import Rig
from .states import STATES
from .strikes import CONTAINER, EMULATED, SMALL_DISK, STRIKES, NotHere, small_disk

# Who is hit.
VICTIM = "p1"
# Each state and each fault of containers at least once, in two minutes. Faults that are likelier to hurt there than elsewhere.
QUICK = {
    ("done", "agent killed"),
    ("preflight", "program killed"),
    ("running", "power cut"),
    ("staged", "partition"),
    ("fetched", "hub gone"),
    ("staged", "disk full"),
    ("verified", "bus restarted"),
}


def run(args, say):
    """Prints the table, or with `--json` one line; True if no cell has failed."""
    cells = []
    wanted = selection(args)
    for victim in (CONTAINER, SMALL_DISK, EMULATED):
        todo = [cell for cell in wanted if cell[1].victim == victim]
        if victim == EMULATED and not args.emulate:
            cells += [result(state, strike, "skip", "it takes an emulated machine (--emulate)") for state, strike in todo]
        else:
            cells += column(todo, victim, say)
    return show(cells, args, line, markdown)


def selection(args):
    """The cells that are asked for, as pairs."""
    cells = [(state, strike) for strike in STRIKES for state in STATES]
    quick = [cell for cell in cells if (cell[0].__name__, cell[1].name) in QUICK]
    if {state for state, _ in quick} != set(STATES) or {strike for _, strike in quick} != {strike for strike in STRIKES if strike.victim != EMULATED}:
        raise AssertionError("QUICK leaves out a state or a fault")
    found = [(state, strike) for state, strike in (quick if args.quick else cells)
             if (not args.only or any(word in strike.name for word in args.only))
             and (not args.state or state.__name__ in args.state)]
    if not found:
        raise LabError("there is no such cell; states are " + ", ".join(state.__name__ for state in STATES)
                       + ", faults " + ", ".join(strike.name for strike in STRIKES))
    return found


def line(cell):
    """A cell, for a person."""
    return f"{cell['state']:10} {cell['fault']:15} {cell['verdict']:5} {cell['seconds']:6.1f} s  {cell['reason']}"


def markdown(cells):
    """The table as it stands in README.md: a row for each fault, a column for each state."""
    found = {(cell["fault"], cell["state"]): cell for cell in cells}
    names = [state.__name__ for state in STATES]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for strike in STRIKES:
        row = [found.get((strike.name, name)) for name in names]
        if any(row):
            shown = (f"**{cell['verdict']}**: {cell['reason']}" if cell else "not tried" for cell in row)
            lines.append(f"| {strike.name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def column(todo, victim, say):
    """The cells that can share machines. After one that fails there are new ones."""
    cells = []
    while todo:
        with machines(victim, say) as rig:
            while todo:
                cell = one(rig, *todo.pop(0))
                cells.append(cell)
                say(line(cell))
                if cell["verdict"] == "fail":
                    # The machines go away, and nobody else will tell.
                    for party in rig.parties:
                        say(f"--- the agent of {party}\n{rig.fleet.agent_log(party)}")
                    break
    return cells


@contextmanager
def machines(victim, say):
    """Three machines in a fleet, one of them of this kind."""
    emulated = [VICTIM] if victim == EMULATED else []
    with Lab(3, agent=os.environ["E3_AGENT"], emulated=emulated, say=say) as lab:
        rig = Rig(lab, need_binary(), VICTIM)

        def prepare(rig):
            if victim == SMALL_DISK:
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
    return result(state, strike, verdict, reason, time.monotonic() - begin)


def result(state, strike, verdict, reason, seconds=0.0):
    """A cell, as `--json` shows it."""
    return {"state": state.__name__, "fault": strike.name, "verdict": verdict, "reason": reason, "seconds": round(seconds, 1)}


def cell(rig, state, strike):
    """Returns what the parties said, if it is what they may say."""
    strike.check(state)
    name = state(rig)
    strike.strike(rig, state)
    states.go_on(rig)
    said = rig.verdict(name)
    if said == "good":
        if state is states.running and state in strike.may_end and not strike.may_miss:
            raise Violated("the session ended well although it was hit while it ran")
    elif state not in strike.may_end:
        raise Violated(f"it should have ended well: {describe(said)}")
    else:
        if any(kind not in strike.kinds or place != rig.place and not (strike.blinds and party == rig.place)
               for party, (kind, place) in enumerate(said)):
            raise Violated(f"not everybody names {rig.victim.name} and what happened there: {describe(said)}")
    strike.mend(rig)
    rig.clean(name, ran=said == "good" or state not in states.BEFORE_BARRIER)
    return "done, good" if said == "good" else describe(said)


def describe(said):
    """What each party says, in order."""
    return ", ".join(kind if party is None else f"{kind} at p{party}" for kind, party in said)
