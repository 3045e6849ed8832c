"""`ci/bench meshes`: what a mesh costs, beside the same daemon configured by hand and beside no mesh at all, on the same
machines, with the same program, in one run.

Where all machines reach each other, packets may go straight; behind two symmetric NATs they go by the anchor. In each turn
the ways alternate: no mesh (where that is possible), the same daemon by hand, the fleet's mesh; never two at once, since a
mesh would take the other one's addresses for ways to go. Medians are compared. Nothing is judged: machines differ, and a busy
one says nothing.
"""

import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from ..failure import LabError
from ..fleet import until
from ..lab import Lab
from . import byhand, measure
from .rig import ANCHOR, JOIN_SECONDS, PARTIES, Rig
from .table import BACKENDS, program

# Counted turns, after one that is not counted.
TURNS = 5
# By the laboratory's name for the network; machines without a mesh reach each other in the first one only.
WAYS = {"direct": "lan", "relayed": "symmetric-anchor"}
# Moved cables.
MOVES = 3
MOVE_SECONDS = 30
AFTER_SECONDS = 120
TIMES = ("wall_s", "rounds_s", "volume_s")


def run(args, say):
    """Measures, prints a table, and with `--json` a last line of JSON."""
    report = [compare(backend, say) for backend in args.backend or byhand.BACKENDS]
    for row in report:
        print("\n".join(shown(row)))
    if args.json:
        print(json.dumps({"backends": report}))


def compare(backend, say):
    """Everything about one backend."""
    row = {"backend": backend, **{way: turns(backend, way, say) for way in WAYS}}
    raw = row["direct"]["ways"]["none"]
    for way in WAYS:
        mesh, hand = row[way]["ways"]["mesh"], row[way]["ways"]["by_hand"]
        row[way]["ratios"] = {
            **{f"{name[:-2]}_to_none": ratio(mesh[name], raw[name]) for name in TIMES},
            **{f"{name[:-2]}_to_by_hand": ratio(mesh[name], hand[name]) for name in TIMES},
            "join_overhead_s": round(mesh["join_s"] - hand["join_s"], 3),
        }
    return row


def ratio(one, other):
    """Of two times; None if the machine was too busy to tell."""
    return round(one / other, 3) if other > 0 else None


def turns(backend, way, say):
    """All ways by turns, where packets go `way`."""
    programs = [program(name) for name in BACKENDS[backend]]
    with Lab(4, network_kind=WAYS[way], agent=os.environ["E3_AGENT"], mesh=programs, say=say) as lab:
        rig = Rig(lab, backend)
        rig.start()
        rig.choose()
        rig.joined()
        machines = [lab[name] for name in PARTIES]
        measure.prepare(machines, os.environ["E3_TEST_MPYC"])
        hand = byhand.BACKENDS[backend](lab, (*PARTIES, ANCHOR), ANCHOR)
        found = {"none": [], "mesh": [], "by_hand": []} if way == "direct" else {"mesh": [], "by_hand": []}
        for turn in range(TURNS + 1):
            say(f"{backend}, {way}, turn {turn} of {TURNS}")
            off(rig)
            if "none" in found:
                addresses = [lab.network.node(name).address for name in PARTIES]
                found["none"].append(of_way(machines, addresses))
            with ExitStack() as stack:
                found["by_hand"].append(by_hand(lab, hand, stack))
            found["mesh"].append(by_agent(rig))
        return {"ways": {kind: medians(rows[1:]) for kind, rows in found.items()},
                "moved": moves(rig, say) if way == "direct" else None}


def of_way(machines, addresses):
    """What is measured of each way: round trips between the first two, and the program."""
    return {"rtt_ms": measure.round_trip(machines[0], addresses[1]), **measure.mpyc(machines, addresses)}


def off(rig):
    """No party is in the mesh."""
    everywhere(lambda name: rig.lab[name].run(["systemctl", "stop", "e3-agent", rig.unit]))


def by_agent(rig):
    """The agents join the fleet's mesh."""
    everywhere(lambda name: rig.lab[name].run(["systemctl", "start", "e3-agent"]))
    rig.joined(PARTIES)
    joined = [measure.joined_by_agent(rig.lab[name], rig.unit) for name in PARTIES]
    everywhere(lambda name: measure.settle(rig.lab[name], "e3-agent"))
    found = of_way([rig.lab[name] for name in PARTIES], [rig.address(name) for name in PARTIES])
    rss = {name: measure.memory_of_unit(rig.lab[name], rig.unit) for name in (*PARTIES, ANCHOR)}
    return {"join_s": max(joined), **found, **memories(rss)}


def by_hand(lab, hand, stack):
    """The same daemon, started by hand on all machines; the anchor first."""
    def start(name, answers):
        return stack.enter_context(closing(measure.Daemon(lab[name], hand.argv(name), answers)))

    pids = {ANCHOR: start(ANCHOR, hand.address(ANCHOR)).joined()[1]}
    daemons = {name: start(name, hand.address(ANCHOR)) for name in PARTIES}
    joined = {name: daemon.joined() for name, daemon in daemons.items()}
    pids |= {name: pid for name, (_, pid) in joined.items()}
    found = of_way([lab[name] for name in PARTIES], [hand.address(name) for name in PARTIES])
    rss = {name: measure.memory(lab[name], pid) for name, pid in pids.items()}
    return {"join_s": max(seconds for seconds, _ in joined.values()), **found, **memories(rss)}


def memories(rss):
    """The largest of the parties' daemons, and the anchor's."""
    return {"rss_kib": max(rss[name] for name in PARTIES), "anchor_rss_kib": rss[ANCHOR]}


def moves(rig, say):
    """A party's cable gets another address while a session runs: how long it is not heard in the mesh, what becomes of the session,
    and how long the next one takes, of which its agent has to hear from the hub by its new address."""
    machine, node = rig.lab["p1"], rig.lab.network.node("p1")
    rig.joined()
    silent, verdicts, after = [], [], []
    addresses = [node.address, "10.53.0.211"]
    for turn in range(MOVES):
        say(f"{rig.backend}, a cable moved, {turn + 1} of {MOVES}")
        name = rig.session("slow.py")
        rig.runs(name)
        silence = measure.Silence(rig.lab["p0"], rig.address("p1"))
        until(lambda: silence.answers_since(0), JOIN_SECONDS, lambda: "p0 does not hear p1")
        now = measure.renumber(machine, *addresses, node.gateway)
        addresses.reverse()
        try:
            until(lambda: silence.answers_since(now + 1), MOVE_SECONDS, lambda: "not heard")
            silent.append(silence.longest())
        except LabError:
            silence.longest()
            silent.append(None)
        verdict = rig.verdict(name)
        verdicts.append(verdict if verdict == "good" else verdict[0][0])
        rig.joined()
        begin = time.monotonic()
        while rig.verdict(rig.session()) != "good":
            if time.monotonic() - begin > AFTER_SECONDS:
                raise LabError("no session is good any more after a cable was moved")
        after.append(time.monotonic() - begin)
    heard = [seconds for seconds in silent if seconds is not None]
    return {"silent_s": round(statistics.median(heard), 3) if heard else None, "back": len(heard), "of": MOVES,
            "sessions": verdicts, "next_session_s": round(statistics.median(after), 2)}


def everywhere(what):
    """On all parties at once."""
    with ThreadPoolExecutor(len(PARTIES)) as pool:
        list(pool.map(what, PARTIES))


def medians(rows):
    """Of each number."""
    return {name: round(statistics.median(row[name] for row in rows), 4) for name in rows[0]}


def shown(row):
    """For a person."""
    yield f"{row['backend']:8} {'':8} {'join':>8} {'RTT':>9} {'program':>9} {'rounds':>8} {'volume':>8} {'memory':>10} {'anchor':>10}"
    for way in WAYS:
        for kind, found in row[way]["ways"].items():
            join = f"{found['join_s']:6.2f} s" if "join_s" in found else ""
            rss = [f"{found[name] / 1024:6.1f} MiB" if name in found else "" for name in ("rss_kib", "anchor_rss_kib")]
            yield (f"{way:8} {kind:8} {join:>8} {found['rtt_ms']:6.2f} ms {found['wall_s']:7.2f} s {found['rounds_s']:6.2f} s"
                   f" {found['volume_s']:6.2f} s {rss[0]:>10} {rss[1]:>10}")
        ratios = row[way]["ratios"]
        yield (f"{way:8} the program takes {ratios['wall_to_none']} × no mesh, {ratios['wall_to_by_hand']} × by hand;"
               f" joining by the agent takes {ratios['join_overhead_s']:+.2f} s")
    moved = row["direct"]["moved"]
    yield (f"a cable moved: back {moved['back']} of {moved['of']} times, after {moved['silent_s']} s; sessions: "
           f"{', '.join(moved['sessions'])}; the next one took {moved['next_session_s']} s")
