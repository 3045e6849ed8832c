"""What a mesh gets that it cannot work with, one after the other on the same machines. Each time the machine says a typed reason in
time, to whoever asks it and to the hub; its daemon is not started faster than the back-off allows, a fleet that leaves the mesh leaves
nothing of it behind, and when the cause is gone the machine is back by itself. `causes` has what goes wrong."""

import time
from functools import partial

from ..cells import Violated
from ..fleet import until
from . import cases, causes, controlled
from . import uncontrolled as server
from .causes import VICTIM
from .rig import ANCHOR, PARTIES

# How long it is watched then, and how often its daemon may be started in that time: pauses of 0.5, 1, 2, 4 … seconds, each a quarter
# shorter at most.
WATCH_SECONDS = 6
STARTS = 5
# What journald calls the start of a unit (systemd.journal-fields, SD_MESSAGE_UNIT_STARTING).
STARTING = "MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5"
# Which reason each backend is to say. In the place of one that cannot happen to it stands why not.
SAID = {
    server.used_key: {"headscale": "control-server"},
    server.expired_key: {"headscale": "control-server"},
    causes.no_tun: {
        "link": ("it has no TUN device",), "nebula": "unable", "wireguard": "unable", "openvpn": "unable", "tinc": "unable",
        "headscale": "unable", "tor": ("it has no TUN device",),
    },
    causes.port_taken: {
        "link": "unable", "nebula": "unable", "wireguard": "unable", "openvpn": "daemon-died", "tinc": "daemon-died",
        "headscale": ("it takes any port",), "tor": ("it has no anchor",),
    },
    causes.own_port_taken: {"link": "unable", "tor": "unable", "wireguard": "joined"},
    causes.no_program: {"tor": "unable"},
    causes.hub_unreachable: {
        "link": "needs-approval", "nebula": "hub", "wireguard": "needs-approval", "openvpn": "needs-approval", "tinc": "needs-approval",
        "headscale": "hub", "tor": "needs-approval",
    },
    causes.wrong_identity: dict.fromkeys(("link", "nebula", "wireguard", "openvpn", "tinc", "headscale", "tor"), "nobody-answers"),
    causes.duplicate_address: {
        "link": ("its addresses are of the machine itself",), "nebula": "nobody-answers", "wireguard": "nobody-answers",
        "openvpn": "nobody-answers", "tinc": "nobody-answers", "headscale": "joined",
        "tor": ("its addresses are of the machine itself",),
    },
    causes.dns_broken: {
        "link": "no-relay", "nebula": "nobody-answers", "wireguard": "unable", "openvpn": "nobody-answers", "tinc": "nobody-answers",
        "headscale": "control-server", "tor": ("it asks no name server",),
    },
    server.wrong_server: {"headscale": "control-server"},
    server.another_server: {"headscale": "control-server"},
    server.wrong_authority: {"headscale": "control-server"},
}


def tried(rig, cause, kind):
    """One of them."""
    hears = cause is not causes.hub_unreachable
    with cause(rig) as name:
        begin = time.monotonic()
        rig.waits_for(name, kind, rig.reason_seconds)
        took = time.monotonic() - begin
        starts = watched(rig, name, kind)
        if hears:
            known(rig, name, kind)
            leave(rig, name)
    if not hears:
        rig.waits_for(name, "joined" if rig.is_controlled() else "needs-approval", rig.back_seconds)
        leave(rig, name)
    rig.choose()
    rig.joined(seconds=rig.back_seconds)
    return f"{kind} after {took:.1f} s, {starts} more starts in {WATCH_SECONDS} s"


def watched(rig, name, kind):
    """It says so for a while, and its daemon is started now and then; returns how often."""
    machine, end = rig.lab[name], time.monotonic() + WATCH_SECONDS

    def starts():
        return machine.journal(rig.unit, "--output=json", STARTING).count("\n")

    def says():
        mesh = rig.mesh(name)
        return mesh.get("reason", {}).get("kind") or mesh["state"]

    before, said = starts(), set()
    # How often something happens shows in time only.
    until(lambda: said.add(says()) or time.monotonic() > end, WATCH_SECONDS + 5, lambda: "")
    if said - {kind, "joining", "daemon-died"}:
        raise Violated(f"it changes its mind: {said}")
    more = starts() - before
    if more > STARTS:
        raise Violated(f"its daemon was started {more} times in {WATCH_SECONDS} s")
    return more


def known(rig, name, kind):
    """The hub knows it, too."""
    def is_so():
        mesh = (rig.fleet.status()[name]["presence"] or {}).get("meshes", {}).get(rig.backend, {})
        return kind in (mesh.get("state"), mesh.get("reason", {}).get("kind"))

    until(is_so, rig.reason_seconds, lambda: f"the hub is not told that {name} is {kind}: {rig.fleet.status()[name]['presence']}")


def leave(rig, name):
    """The fleet leaves the mesh while the machine is in trouble with it."""
    rig.fleet.e3("mesh", "off")
    rig.waits_for(name, "none")
    cases.nothing_left(rig, name)


def new_authority(rig):
    """The owner has lost the certificate authority and made a new one: everybody's certificate is of another one than the head names.
    Nobody is let in by them, and `e3 mesh sign` gives everybody a new one."""
    folder = rig.fleet.folder / "demo/mesh" / rig.backend
    old = folder.with_name("old")
    folder.rename(old)
    rig.choose()
    for name in (*PARTIES, ANCHOR):
        rig.waits_for(name, "needs-approval", rig.reason_seconds)
    signed = rig.sign()
    if set(signed) != {*PARTIES, ANCHOR}:
        raise Violated(f"new certificates for {signed}, not for all")
    took = rig.joined()
    # The other way round: one that the head does not name signs nothing.
    folder.rename(folder.with_name("new"))
    old.rename(folder)
    done = rig.fleet.e3("mesh", "sign", check=False)
    folder.rename(old)
    folder.with_name("new").rename(folder)
    if not done.status or "another certificate authority" not in done.err:
        raise Violated(f"an authority that the head does not name signs: {done.out} {done.err}")
    rig.must_be_good(rig.session())
    return f"needs-approval; joined {took:.1f} s after new ones were signed"


def mtu_black_hole(rig):
    """Large packets get lost on the way, and nobody is told: small ones pass, so the mesh is joined, and a session says in time who
    cannot be heard."""
    with causes.hole(rig.lab[VICTIM], f"{rig.not_the_hub()} meta length > 1000"):
        verdict = rig.verdict(rig.session())
    if verdict != "good" and verdict[0][1] != PARTIES.index(VICTIM):
        raise Violated(f"the others do not name {VICTIM}: {verdict}")
    rig.must_be_good(rig.session())
    return "good" if verdict == "good" else f"{verdict[0][0]} names it"


def todo(backend):
    """Its cases as the table has them, after it has joined; a case that cannot happen to it is no function but says why."""
    if not any(backend in said for said in SAID.values()):
        return ()
    join = controlled.join if backend == "headscale" else cases.join
    found = [join]
    for cause, said in SAID.items():
        if backend in said:
            found.append(partial(tried, cause=cause, kind=said[backend]))
            found[-1].__name__ = cause.__name__
    found.append(mtu_black_hole)
    if backend == "nebula":
        found.append(new_authority)
    return tuple(found)


def cannot_happen(case):
    """Why there is nothing to try, or None."""
    kind = getattr(case, "keywords", {}).get("kind")
    return kind[0] if isinstance(kind, tuple) else None
