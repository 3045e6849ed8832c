"""What happens to a mesh with a control server. What is not here is as for any mesh (`cases`)."""

import ipaddress

from ..cells import Violated, is_lost
from ..fleet import until
from . import cases
from .rig import ANCHOR, PARTIES

FORGOTTEN_SECONDS = 20
# A machine looks every 30 seconds or so at a mesh that works, and has its daemon ten more before it complains.
LOOK_SECONDS = 60


def join(rig):
    """Every machine joins by a key that the hub makes for it, good once, and by nothing else; it has an address that the
    server gives it."""
    rig.choose()
    took = rig.joined()
    addresses = [ipaddress.IPv4Address(address) for name in PARTIES for address in rig.mesh(name)["addresses"]]
    if len(set(addresses)) != len(PARTIES):
        raise Violated(f"the addresses are {addresses}")
    keys = [node["pre_auth_key"] for node in rig.headscale.nodes()]
    if len(keys) != len(PARTIES) + 1 or any(key.get("reusable") or not key.get("used") for key in keys):
        raise Violated(f"the keys that they have joined by: {keys}")
    found = rig.lab["p0"].run(["grep", "-rlF", "hskey-auth", "/run/e3party", "/var/lib/e3", "/var/lib/private", "/etc"], check=False).out
    journal = "".join(rig.lab[name].journal("e3-agent") + rig.lab[name].journal(rig.unit) for name in PARTIES)
    if found or "hskey-auth-" in journal:
        raise Violated(f"the key is kept: {found or 'in the journal'}")
    return f"{took:.1f} s"


def session(rig):
    """Three parties compute the right result through the mesh, and nowhere else: their own addresses are told to nobody."""
    shown = [rig.fleet.status()[name]["presence"]["addresses"] for name in PARTIES]
    if any(len(addresses) != 1 or not addresses[0].startswith("100.64.") for addresses in shown):
        raise Violated(f"the machines tell other addresses than the mesh's: {shown}")
    rig.must_be_good(rig.session())
    return "good"


def control_killed(rig):
    """The control server goes away in the middle of a session, and its relay with it: the session goes on where packets did
    not go by the relay, or ends on every party with who cannot be heard; when the server is back, so are sessions."""
    name = rig.session("slow.py")
    rig.runs(name)
    rig.headscale.kill()
    verdict = rig.verdict(name)
    if verdict != "good" and not is_lost(verdict):
        raise Violated(f"it did not end as it should: {verdict}")
    rig.headscale.on()
    rig.joined()
    last = None
    for _ in range(3):
        last = rig.verdict(rig.session())
        if last == "good":
            words = "went on" if verdict == "good" else f"ended: {verdict[0][0]}"
            return f"{words}; good again"
    raise Violated(f"no session after the server is back: {last}")


def expired(rig):
    """A machine whose key has expired says so, also after a restart, is not given another one, and is back with the key that it
    has as soon as the server accepts that again."""
    machine = rig.lab["p2"]
    node = rig.headscale.node("p2")
    made = len(rig.headscale.nodes())
    rig.headscale.command("nodes", "expire", "--identifier", node, "--force")
    machine.run(["systemctl", "restart", rig.unit])
    rig.waits_for("p2", "key-expired", LOOK_SECONDS)
    machine.power_cut()
    machine.boot()
    rig.waits_for("p2", "key-expired", LOOK_SECONDS)
    if len(rig.headscale.nodes()) != made or rig.headscale.node("p2") != node:
        raise Violated("it has become another machine")
    rig.headscale.command("nodes", "expire", "--identifier", node, "--disable", "--force")
    rig.joined(seconds=LOOK_SECONDS)
    rig.must_be_good(rig.session())
    return "good"


def revoked(rig):
    """A party whose place was taken back knows it, the server forgets it, and sessions with it name it."""
    said = cases.revoked(rig)
    until(lambda: all(node["name"] != "e3-p1" for node in rig.headscale.nodes()), FORGOTTEN_SECONDS,
          lambda: f"the server still knows p1: {rig.headscale.nodes()}")
    return said


def off(rig):
    """A fleet that wants no mesh any more leaves nothing of it on its machines, and none of them on the server."""
    said = cases.off(rig)
    until(lambda: not rig.headscale.nodes(), FORGOTTEN_SECONDS, lambda: f"the server still knows {rig.headscale.nodes()}")
    for name in (*PARTIES, ANCHOR):
        if '"profile-' in rig.lab[name].read(rig.keys()[0]):
            raise Violated(f"{name} has kept its key")
    return said


CASES = (
    join, session, cases.ways, cases.stranger, cases.evaluated, cases.hardened, cases.cable_moved, cases.agent_restarted, cases.daemon_killed,
    cases.restarted, control_killed, expired, revoked, off,
)
# For `--short`.
QUICK = (join, session, cases.stranger, cases.hardened, off)
