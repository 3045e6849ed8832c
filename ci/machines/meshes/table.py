"""The cells: which there are, one after the other, and how they are printed."""

import os
import shutil
import time

from ..cells import Violated, show
from ..failure import LabError
from ..lab import Lab
from . import bad, cases, controlled, moving, onions, signers, unchosen
from .headscale import Controlled
from .rig import Rig

# A backend, and the programs of its daemon that Debian has not.
BACKENDS = {"none": (), "link": ("e3-link",), "nebula": ("nebula",), "wireguard": (), "openvpn": (), "tinc": (),
            "headscale": ("tailscaled",), "tor": ("e3-link",)}
# Those that a control server keeps together: a fleet and cases of their own.
CONTROLLED = ("headscale",)
# What is between the machines, by the laboratory's name for it.
NATS = {"none": "lan", "cone/cone": "nat-anchor", "cone/symmetric": "mixed-anchor", "symmetric/symmetric": "symmetric-anchor",
        "CGNAT": "cgnat-anchor", "UDP blocked": "no-udp-anchor"}
# Not kinds of NAT: columns of their own, each with the network that it happens in.
BAD_INPUT = "bad input"
MOVING = "to another mesh"
UNCHOSEN = {"nothing chosen": "symmetric", "nothing chosen, one LAN": "lan"}
# Whoever is revoked afterwards has a certificate from before, and a newer one that it has never asked for.
SIGNERS = "two signers"
OTHERS = {BAD_INPUT: "lan", MOVING: "symmetric-anchor", SIGNERS: "lan", **UNCHOSEN}
SHORT = ("symmetric/symmetric", "UDP blocked")
# Tried with all cases also when it has to be short; of the others the daemon differs, and the rest is the same code.
THOROUGH = ("none", "nebula")
# What a backend cannot do by its nature, and what is tried instead.
NEEDS_UDP = ("nebula", "wireguard")
# A case that means nothing to a backend.
NOT_FOR = {(backend, cases.expired): "its keys do not expire" for backend in ("link", "wireguard", "openvpn", "tinc", "tor")}


def run(args, say):
    """Prints the table, or with `--json` one last line; True if no cell has failed."""
    cells = []
    for backend in args.backend or BACKENDS:
        for nat in nats(args):
            tries = far(backend) if args.regions else todo(backend, nat)
            if args.short and backend not in THOROUGH:
                tries = [case for case in tries if case in quick(backend)]
            cells += column(backend, nat, tries, say, args.regions, args.report)
    return show(cells, args, line, markdown)


def quick(backend):
    """The cases that suffice where it has to be short."""
    return onions.QUICK if backend == "tor" else (*cases.QUICK, *controlled.QUICK)


def nats(args):
    """The columns that are wanted."""
    if args.bad:
        return (BAD_INPUT, MOVING)
    if args.nat or args.regions:
        return args.nat or ("none",)
    return SHORT if args.short else (*NATS, *OTHERS)


def far(backend):
    """The cases between regions."""
    if backend == "none":
        return (cases.plain, cases.evaluated)
    return (*(controlled if backend in CONTROLLED else cases).QUICK[:2], cases.evaluated)


def todo(backend, nat):
    """The cases of a column."""
    if nat == BAD_INPUT:
        return bad.todo(backend)
    if nat == MOVING:
        return moving.CASES if backend == moving.OLD else ()
    if nat == SIGNERS:
        return (cases.join, signers.signed_by_two, cases.revoked) if backend == "nebula" else ()
    if nat in UNCHOSEN:
        return unchosen.CASES[nat] if backend == unchosen.BACKEND else ()
    if backend == "none":
        return cases.PLAIN
    if backend in CONTROLLED:
        return controlled.CASES
    if backend == "tor":
        return onions.CASES
    if nat == "UDP blocked" and backend in NEEDS_UDP:
        return (cases.blocked,)
    if backend == "wireguard":
        # Only there is a second machine that all reach.
        return cases.TOLD if nat == "none" else [case for case in cases.TOLD if case is not cases.reserve]
    return cases.RELAYED if backend == "link" else cases.CASES


def impossible(backend, nat):
    """Why there is nothing to try, or None."""
    if backend == "none" and nat in NATS and nat != "none":
        return "without a mesh, machines behind different routers do not reach each other"
    return None


def column(backend, nat, tries, say, regions=(), report=None):
    """Cases of one backend behind one kind of NAT, on the same machines; after one that fails the others are not tried."""
    why_not = impossible(backend, nat)
    if why_not:
        return [{"backend": backend, "nat": nat, "case": case.__name__.replace("_", " "), "verdict": "skip", "reason": why_not,
                 "seconds": 0.0} for case in tries]
    if not tries:
        return []
    cells = []
    programs = [program(name) for name in BACKENDS[backend]]
    with Lab(4, network_kind={**NATS, **OTHERS}[nat], agent=os.environ["E3_AGENT"], mesh=programs, regions=regions,
             say=say) as lab:
        if backend in CONTROLLED:
            rig = Controlled(lab, backend)
        elif backend == "tor":
            rig = onions.Hidden(lab, backend)
        else:
            rig = Rig(lab, backend, has_udp=nat != "UDP blocked")
        rig.report = report and report.resolve()
        if nat in UNCHOSEN:
            rig.fleet.new_options = []
            rig.begin()
        else:
            rig.start()
        if regions:
            nat = rig.place()
        for case in tries:
            cell = {"backend": backend, "nat": nat, "case": case.__name__.replace("_", " ")}
            skip = NOT_FOR.get((backend, case)) or bad.cannot_happen(case)
            if any(other["verdict"] == "fail" for other in cells):
                skip = "a case before it failed"
            if skip:
                cells.append({**cell, "verdict": "skip", "reason": skip, "seconds": 0.0})
                continue
            begin, since = time.monotonic(), time.time()
            try:
                verdict, reason = "pass", case(rig)
            except (Violated, LabError) as error:
                verdict, reason = "fail", str(error)
            cells.append({**cell, "verdict": verdict, "reason": reason, "seconds": round(time.monotonic() - begin, 1)})
            say(line(cells[-1]))
            if verdict == "fail":
                say(journals(lab, since))
    return cells


def journals(lab, since):
    """What the machines that are on have written since then: they go away, and nobody else will tell."""
    told = []
    for name, machine in lab.machines.items():
        try:
            text = machine.journal(None, f"--since=@{since:.0f}", "--output=short-precise")
        except LabError as error:
            text = f"{error}\n"
        told.append(f"--- {name}\n{text}")
    return "".join(told)


def program(name):
    """Where a daemon's program is."""
    path = os.environ.get("E3_LINK") if name == "e3-link" else shutil.which(name)
    if path is None:
        raise LabError(f"there is no {name} in PATH; `ci/lab meshes` gets it")
    return path


def line(cell):
    """A cell, for a person."""
    return f"{cell['backend']:9} {cell['nat']:20} {cell['case']:16} {cell['verdict']:5} {cell['seconds']:6.1f} s  {cell['reason']}"


def markdown(cells):
    """The tables as they stand in modules/mesh/README.md: a row for each case, a column for each kind of NAT; and bad input, with a
    column for each backend."""
    tables = ((rows, [cell for cell in cells if cell["nat"] not in OTHERS]), (rows, [cell for cell in cells if cell["nat"] == MOVING]),
              (causes, [cell for cell in cells if cell["nat"] == BAD_INPUT]))
    return "\n\n".join(table(chosen) for table, chosen in tables if chosen)


def causes(cells):
    """The table of bad input."""
    found = {(cell["backend"], cell["case"]): cell for cell in cells}
    backends = list(dict.fromkeys(cell["backend"] for cell in cells))
    lines = ["| case | " + " | ".join(backends) + " |", "|---" * (len(backends) + 1) + "|"]
    for case in dict.fromkeys(cell["case"] for cell in cells):
        row = (found.get((backend, case)) for backend in backends)
        lines.append(f"| {case} | " + " | ".join(f"{cell['verdict']}: {cell['reason']}" if cell else "" for cell in row) + " |")
    return "\n".join(lines)


def rows(cells):
    """One table."""
    found = {(cell["backend"], cell["nat"], cell["case"]): cell for cell in cells}
    nats = list(dict.fromkeys(cell["nat"] for cell in cells))
    lines = ["| backend | case | " + " | ".join(nats) + " |", "|---" * (len(nats) + 2) + "|"]
    for backend, case in dict.fromkeys((cell["backend"], cell["case"]) for cell in cells):
        row = (found.get((backend, nat, case)) for nat in nats)
        shown = (f"{cell['verdict']}: {cell['reason']}" if cell else "" for cell in row)
        lines.append(f"| {backend} | {case} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
