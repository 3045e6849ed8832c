"""`ci/bench meshes`: what a mesh costs, beside the same daemon configured by hand and beside no mesh at all, on the same
machines, with the same program, in one run.

Where all machines reach each other, packets may go straight; behind two symmetric NATs they go by the anchor or a relay. Both
networks are there all the time, and in each turn the ways alternate: no mesh, and in each network the same daemon by hand and the
fleet's mesh. Never two at once in one network, since a mesh would take the other one's addresses for ways to go. Medians are
compared. Nothing is judged: machines differ, and a busy one says nothing.
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
from . import byhand, measure, opened
from .headscale import Controlled
from .rig import ANCHOR, JOIN_SECONDS, PARTIES, Rig
from .table import BACKENDS, CONTROLLED, program

# What is measured if nobody says what.
MEASURED = ("link", *byhand.BACKENDS)
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
    report = []
    for backend in args.backend or MEASURED:
        report.append(compare(backend, say))
        print("\n".join(shown(report[-1])), flush=True)
    if args.json:
        print(json.dumps({"backends": report}))


def compare(backend, say):
    """Everything about one backend."""
    with ExitStack() as stack:
        sites = {way: stack.enter_context(closing(Site(backend, way, say))) for way in WAYS}
        found = {(way, kind): [] for way, site in sites.items() for kind in site.kinds}
        for turn in range(TURNS + 1):
            say(f"{backend}, turn {turn} of {TURNS}")
            for (way, kind), rows in found.items():
                rows.append(sites[way].measure(kind))
        moved = sites["direct"].moves(say)
    row = {"backend": backend, "moved": moved}
    for way, site in sites.items():
        row[way] = {"ways": {kind: medians(found[way, kind][1:]) for kind in site.kinds}}
        # Of each turn: what was measured one after the other is compared, and not what was measured minutes apart.
        row[way]["ratios"] = {
            "to_none": ratios(found[way, "mesh"][1:], found["direct", "none"][1:]),
            "to_by_hand": ratios(found[way, "mesh"][1:], found[way, "by_hand"][1:]) if "by_hand" in site.kinds else None,
        }
        if "by_hand" in site.kinds:
            ways = row[way]["ways"]
            row[way]["ratios"]["join_overhead_s"] = round(ways["mesh"]["join_s"] - ways["by_hand"]["join_s"], 3)
    return row


def ratios(rows, others):
    """The medians of the turns' ratios; None if the machine was too busy to tell."""
    def ratio(name):
        each = [row[name] / other[name] for row, other in zip(rows, others, strict=True) if other[name] > 0]
        return round(statistics.median(each), 3) if each else None

    return {name: ratio(name) for name in TIMES}


class Site:
    """The machines of one network, and the ways to measure there."""

    def __init__(self, backend, way, say):
        self._held = ExitStack()
        programs = [program(name) for name in BACKENDS[backend]]
        self.lab = self._held.enter_context(Lab(4, network_kind=WAYS[way], agent=os.environ["E3_AGENT"], mesh=programs, say=say))
        try:
            self.rig = (Controlled if backend in CONTROLLED else Rig)(self.lab, backend)
            self.rig.start()
            self.rig.choose()
            self.rig.joined()
            self.machines = [self.lab[name] for name in PARTIES]
            measure.prepare(self.machines, os.environ["E3_TEST_MPYC"])
            self.hand = byhand.BACKENDS[backend](self.rig) if backend in byhand.BACKENDS else None
        except BaseException:
            self.close()
            raise
        self.kinds = [*(["none"] if way == "direct" else []), *(["by_hand"] if self.hand else []), "mesh"]

    def close(self):
        """Takes the machines down."""
        self._held.close()

    def measure(self, kind):
        """One turn of one kind."""
        self.off()
        return getattr(self, kind)()

    def off(self):
        """No party is in the mesh."""
        names = (*PARTIES, ANCHOR) if self.hand and self.hand.is_alone else PARTIES
        everywhere(lambda name: self.lab[name].run(["systemctl", "stop", "e3-agent", self.rig.unit]), names)

    def none(self):
        """The machines' own addresses."""
        addresses = [self.lab.network.node(name).address for name in PARTIES]
        return {"rtt_ms": measure.round_trip(self.machines[0], addresses[1]), **measure.mpyc(self.machines, addresses)}

    def mesh(self):
        """The agents join the fleet's mesh."""
        if self.hand and self.hand.is_alone:
            self.lab[ANCHOR].run(["systemctl", "start", "e3-agent"])
            is_active = ["systemctl", "is-active", "--quiet", self.rig.unit]
            until(lambda: self.lab[ANCHOR].succeeds(is_active), JOIN_SECONDS, lambda: f"{ANCHOR} has no {self.rig.unit}")
        everywhere(lambda name: self.lab[name].run(["systemctl", "start", "e3-agent"]))
        self.rig.joined(PARTIES)
        joined = [measure.joined_by_agent(machine, self.rig.unit) for machine in self.machines]
        everywhere(lambda name: measure.settle(self.lab[name], "e3-agent"))
        addresses = [self.rig.address(name) for name in PARTIES]
        round_trip = measure.round_trip
        if self.rig.backend == "link":
            opened.carry(self.machines, addresses, measure.BASE_PORT)
            round_trip = opened.round_trip
        found = measure.mpyc(self.machines, addresses)
        # Afterwards, when the daemons know each other.
        found["rtt_ms"] = round_trip(self.machines[0], addresses[1])
        rss = {name: measure.memory_of_unit(self.lab[name], self.rig.unit) for name in (*PARTIES, ANCHOR)}
        return {"join_s": max(joined), **found, **memories(rss)}

    def by_hand(self):
        """The same daemon, started by hand on all machines; the anchor first."""
        with ExitStack() as stack:
            def start(name, answers):
                return stack.enter_context(closing(measure.Daemon(self.lab[name], self.hand.argv(name), answers)))

            at = self.hand.address(ANCHOR)
            pids = {ANCHOR: start(ANCHOR, at).joined()[1]}
            daemons = {name: start(name, at) for name in PARTIES}
            joined = {name: daemon.joined() for name, daemon in daemons.items()}
            pids |= {name: pid for name, (_, pid) in joined.items()}
            addresses = [self.hand.address(name) for name in PARTIES]
            found = measure.mpyc(self.machines, addresses)
            found["rtt_ms"] = measure.round_trip(self.machines[0], addresses[1])
            rss = {name: measure.memory(self.lab[name], pid) for name, pid in pids.items()}
            return {"join_s": max(seconds for seconds, _ in joined.values()), **found, **memories(rss)}

    def moves(self, say):
        """A party's cable gets another address while a session runs: how long its agent is not heard in the mesh, what becomes
        of the session, and how long the next one takes, of which its agent has to hear from the hub by its new address."""
        rig, machine, node = self.rig, self.lab["p1"], self.lab.network.node("p1")
        if self.hand and self.hand.is_alone:
            self.lab[ANCHOR].run(["systemctl", "start", "e3-agent"])
        everywhere(lambda name: self.lab[name].run(["systemctl", "start", "e3-agent"]))
        rig.joined()
        silent, verdicts, after = [], [], []
        addresses = [node.address, "10.53.0.211"]
        for turn in range(MOVES):
            say(f"{rig.backend}, a cable moved, {turn + 1} of {MOVES}")
            name = rig.session("slow.py")
            rig.runs(name)
            # Pings go nowhere in a mesh that carries connections.
            silence = None if rig.backend == "link" else measure.Silence(self.lab["p0"], rig.address("p1"))
            if silence:
                until(lambda: silence.answers_since(0), JOIN_SECONDS, lambda: "p0 does not hear p1")
            now = measure.renumber(machine, *addresses, node.gateway)
            addresses.reverse()
            if silence:
                try:
                    until(lambda: silence.answers_since(now + 1), MOVE_SECONDS, lambda: "not heard")
                    silent.append(silence.longest())
                except LabError:
                    silence.longest()
            verdict = rig.verdict(name)
            verdicts.append(verdict if verdict == "good" else verdict[0][0])
            rig.joined(seconds=AFTER_SECONDS)
            begin = time.monotonic()
            while rig.verdict(rig.session()) != "good":
                if time.monotonic() - begin > AFTER_SECONDS:
                    raise LabError("no session is good any more after a cable was moved")
            after.append(time.monotonic() - begin)
        return {"silent_s": round(statistics.median(silent), 3) if silent else None, "back": len(silent), "of": MOVES,
                "sessions": verdicts, "next_session_s": round(statistics.median(after), 2)}


def memories(rss):
    """The largest of the parties' daemons, and the anchor's."""
    return {"rss_kib": max(rss[name] for name in PARTIES), "anchor_rss_kib": rss[ANCHOR]}


def everywhere(what, names=PARTIES):
    """On all of these at once."""
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(what, names))


def medians(rows):
    """Of each number."""
    return {name: round(statistics.median(row[name] for row in rows), 4) for name in rows[0]}


def shown(row):
    """For a person."""
    yield f"{row['backend']:9} {'':8} {'join':>8} {'RTT':>9} {'program':>9} {'rounds':>8} {'volume':>8} {'memory':>10} {'anchor':>10}"
    for way in WAYS:
        for kind, found in row[way]["ways"].items():
            join = f"{found['join_s']:6.2f} s" if "join_s" in found else ""
            rss = [f"{found[name] / 1024:6.1f} MiB" if name in found else "" for name in ("rss_kib", "anchor_rss_kib")]
            yield (f"{way:9} {kind:8} {join:>8} {found['rtt_ms']:6.2f} ms {found['wall_s']:7.2f} s {found['rounds_s']:6.2f} s"
                   f" {found['volume_s']:6.2f} s {rss[0]:>10} {rss[1]:>10}")
        of = row[way]["ratios"]
        words = f"{way:9} the program takes {of['to_none']['wall_s']} × no mesh (rounds {of['to_none']['rounds_s']} ×)"
        if of["to_by_hand"]:
            words += (f", {of['to_by_hand']['wall_s']} × by hand (rounds {of['to_by_hand']['rounds_s']} ×);"
                      f" joining by the agent takes {of['join_overhead_s']:+.2f} s")
        yield words
    moved = row["moved"]
    heard = f"heard again {moved['back']} of {moved['of']} times, after {moved['silent_s']} s; " if row["backend"] != "link" else ""
    yield f"a cable moved: {heard}sessions: {', '.join(moved['sessions'])}; the next one took {moved['next_session_s']} s"
