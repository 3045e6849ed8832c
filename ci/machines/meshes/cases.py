"""What happens to a mesh, and what must come of it. Each returns a few words for the table, or raises `Violated`."""

import csv
import ipaddress
import json
import os
import signal
import statistics
import time

from ..cells import Violated, is_lost
from ..fleet import until
from ..network import sysctl
from ..regions import round_trip_ms
from .measure import renumber
from .rig import ANCHOR, JOIN_SECONDS, PARTIES
from .strangers import stranger

# What a machine can say of the ways to others that answer.
KNOWS = {"none": {"direct"}, "link": {"direct", "relayed"}, "nebula": {"unknown"}, "wireguard": {"direct", "relayed"},
         "openvpn": {"direct", "relayed"}, "tinc": {"unknown"}, "headscale": {"direct", "relayed"}}
# Daemons that go on from another address by themselves, and the seconds until a machine with one is with its hub again.
ROAMS = {"link", "nebula", "wireguard", "headscale"}
# ... but for this one where a hole was punched between two routers, each of which lets in only who was called: nobody is called anew
# before the silence is noticed, 15 seconds later (`timers.*` in Nebula's connection_manager.go; `listen.rebind_on_network_change`
# would do it at once, and is for macOS).
STAYS = {("nebula", "nat-anchor")}
MOVED_SECONDS = 3
# Who was just restarted may fall silent again for some seconds where packets go by an anchor: Nebula's others still have a tunnel to
# what it was before (seen in two of some forty runs, on a busy computer).
FORGETS = {("nebula", kind) for kind in ("mixed-anchor", "symmetric-anchor", "cgnat-anchor")}
# Networks in which a hole can be punched from anybody to anybody, and how long that may take.
STRAIGHT, STRAIGHT_SECONDS = ("lan", "nat-anchor"), 60
NOT_STRAIGHT = """
table inet not-straight {
  chain in { type filter hook input priority 0; udp dport 20000-29999 udp sport 20000-29999 drop; }
  chain out { type filter hook output priority 0; udp dport 20000-29999 udp sport 20000-29999 drop; }
}
"""
# Times ten, as systemd-analyze takes it.
EXPOSURE = 20


def join(rig):
    """Every machine joins with a key that was born on it and a certificate that the owner signs, and has the address that
    follows from its identity."""
    rig.choose()
    # The built-in mesh lets in by the head that chooses it: machines have named their keys before.
    for name in (*PARTIES, ANCHOR) if rig.backend != "link" else ():
        rig.waits_for(name, "needs-approval")
    took = rig.joined()
    addresses = [ipaddress.ip_address(address) for name in PARTIES for address in rig.mesh(name)["addresses"]]
    network = ipaddress.ip_network("127.128.0.0/9" if rig.backend in ("link", "tor") else f"{addresses[0]}/64", strict=False)
    if len(set(addresses)) != len(PARTIES) or any(address not in network for address in addresses):
        raise Violated(f"the addresses are {addresses}")
    return f"{took:.1f} s"


def session(rig):
    """Three parties compute the right result through the mesh, and nowhere else: their own addresses are told to nobody."""
    shown = [rig.fleet.status()[name]["presence"]["addresses"] for name in PARTIES]
    if any(len(addresses) != 1 or not addresses[0].startswith(("[fd", "127.")) for addresses in shown):
        raise Violated(f"the machines tell other addresses than the mesh's: {shown}")
    rig.must_be_good(rig.session())
    return "good"


def ways(rig):
    """Each machine says how its packets get to each other one, and how long they take; of one that is gone, that they do not."""
    everybody = (*PARTIES, ANCHOR)

    def missing(name):
        ways = rig.ways(name)
        told = {other for other, way in ways.items() if way["path"] in KNOWS[rig.backend] and way.get("rtt_us", 0) > 0}
        return set(everybody) - {name} - told

    for name in everybody:
        until(lambda name=name: not missing(name), JOIN_SECONDS,
              lambda name=name: f"{name} does not say how it reaches {missing(name)}: {rig.ways(name)}")
    way = rig.ways("p0")["p1"]
    rig.lab["p2"].run(["systemctl", "stop", "e3-agent", *([rig.unit] if rig.backend != "none" else [])])
    until(lambda: rig.ways("p0")["p2"]["path"] == "none", JOIN_SECONDS, lambda: f"p0 still reaches p2: {rig.ways('p0')}")
    rig.lab["p2"].run(["systemctl", "start", "e3-agent"])
    if rig.backend != "none":
        rig.waits_for("p2", "joined")
    word = "reached" if way["path"] == "unknown" else way["path"]
    return f"{word}, {way['rtt_us'] / 1000:.1f} ms"


def straight(rig):
    """Packets come to go straight wherever routers let them, and by the anchor elsewhere; those that do need no anchor."""
    let_through = rig.lab.network.kind in STRAIGHT
    between = "direct" if let_through else "relayed"
    # p1 is behind another router than the others.
    expected = {("p0", "p1"): between, ("p0", "p2"): "direct", ("p1", "p2"): between}

    def paths():
        ways = {name: rig.ways(name) for name in ("p0", "p1")}
        return {(one, other): ways[one].get(other, {}).get("path") for one, other in expected}

    begin = time.monotonic()
    until(lambda: paths() == expected, STRAIGHT_SECONDS, lambda: f"they reach each other otherwise: {paths()}")
    took = time.monotonic() - begin
    parties = PARTIES if let_through else ("p0", "p2")
    name = rig.session("slow.py", parties)
    rig.runs(name, parties)
    rig.lab[ANCHOR].power_cut()
    rig.must_be_good(name, parties)
    rig.lab[ANCHOR].boot()
    rig.joined()
    return f"{between} after {took:.0f} s more; without the anchor: went on"


def reserve(rig):
    """What went by the first anchor goes by the next one when the first is gone, and by the first again when it is back."""
    rig.fleet.e3("mesh", rig.backend, "--anchor", rig.anchor(ANCHOR), "--anchor", rig.anchor("p2"))
    sysctl(rig.lab.holder, "p2", "net/ipv6/conf/all/forwarding", 1)
    # As a router that lets nothing through but to the anchors.
    rig.lab.holder.run(["nft", "-f", "-"], within="p0", text=NOT_STRAIGHT)
    rig.joined()
    until(lambda: rig.ways("p0")["p1"]["path"] == "relayed", STRAIGHT_SECONDS, lambda: f"p0 reaches p1 straight: {rig.ways('p0')}")
    rig.must_be_good(rig.session(parties=("p0", "p1")), ("p0", "p1"))
    rig.lab[ANCHOR].power_cut()
    begin = time.monotonic()
    until(lambda: rig.ways("p0")["p1"]["path"] == "relayed" and rig.ways("p0")[ANCHOR]["path"] == "none", STRAIGHT_SECONDS,
          lambda: f"p0 does not reach p1 by p2: {rig.ways('p0')}")
    took = time.monotonic() - begin
    rig.must_be_good(rig.session(parties=("p0", "p1")), ("p0", "p1"))
    rig.lab[ANCHOR].boot()
    rig.joined()
    rig.must_be_good(rig.session(parties=("p0", "p1")), ("p0", "p1"))
    rig.lab.holder.run(["nft", "delete", "table", "inet", "not-straight"], within="p0")
    rig.choose()
    rig.joined()
    return f"by the next one within {took:.0f} s; good again"


def cable_moved(rig):
    """A party's cable gets another address while a session runs: it is with its hub and in the mesh again within seconds, and in a
    session that is started then. The one that runs goes on where the mesh's daemon can roam."""
    roams = rig.backend in ROAMS and (rig.backend, rig.lab.network.kind) not in STAYS
    machine, node = rig.lab["p1"], rig.lab.network.node("p1")
    moved = f"{node.address.rsplit('.', 1)[0]}.211"
    took, words = [], []
    for old, new in ((node.address, moved), (moved, node.address)):
        name = rig.session("slow.py")
        rig.runs(name)
        before = rig.fleet.status()["p1"]["presence"]["counter"]
        renumber(machine, old, new, node.gateway)
        begin = time.monotonic()
        until(lambda before=before: rig.fleet.status()["p1"]["presence"]["counter"] > before, MOVED_SECONDS,
              lambda: "the hub does not hear of it")
        took.append(time.monotonic() - begin)
        following = rig.session()
        verdict = rig.verdict(name)
        if verdict != "good" and (roams or not is_lost(verdict)):
            raise Violated(f"the session that ran: {verdict}")
        words.append("went on" if verdict == "good" else "ended: lost")
        rig.must_be_good(following)
    return f"with the hub after {max(took):.1f} s; {', '.join(dict.fromkeys(words))}; good again"


def evaluated(rig):
    """`e3 eval` measures sessions of these machines in this mesh, each once, and draws a page. No message is there sooner than
    light and routers would let it."""
    for name in PARTIES:
        rig.lab[name].write("/etc/e3/policy.toml", "publish = true\n")
    place = rig.place()
    asked = ["eval", "--json", "--details", "--repeat=1", f"--place={place}"]
    asked += [f"--out={rig.report}", "--parties=2,3"] if rig.report else ["--parties=3", "--size=small", "--program=rounds"]
    first, second = (json.loads(rig.fleet.e3(*asked).out) for _ in range(2))
    if first["made"] < 1 or second["made"]:
        raise Violated(f"it measured {first['made']} and then {second['made']} sessions")
    with (rig.fleet.folder / first["results"]).open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if (row["place"], row["mesh"]) == (place, rig.backend)]
    page = (rig.fleet.folder / first["report"]).read_text()
    if not rows or any(not row["round_ms"] or not row["rtt_ms"] for row in rows) or "<svg" not in page or place not in page:
        raise Violated(f"it says {rows}")
    if rig.backend != "none" and not all(row["join_ms"] for row in rows):
        raise Violated(f"it does not know how long joining took: {rows}")
    far = place.split()
    for row in rows:
        for pair in row["pairs"].split("; "):
            one, other, ms = pair.split()
            least = round_trip_ms(far[PARTIES.index(one)], far[PARTIES.index(other)]) if len(far) == len(PARTIES) else 0
            if float(ms) < least:
                raise Violated(f"a message between {one} and {other} takes {ms} ms, and light {least:.1f} ms")
    figures = {name: statistics.median(float(row[name]) for row in rows) for name in ("rtt_ms", "round_ms")}
    return f"{figures['rtt_ms']:.1f} ms there and back, {figures['round_ms']:.1f} ms a round"


def restarted(rig):
    """A machine whose power was cut joins again with what it has, without anybody's help, and takes part in the next session."""
    machine = rig.lab["p0"]
    machine.power_cut()
    machine.boot()
    rig.waits_for("p0", "joined")
    if signed := rig.sign():
        raise Violated(f"{signed} asked for a certificate again")
    verdict = rig.verdict(rig.session())
    if verdict == "good":
        return "good"
    if (rig.backend, rig.lab.network.kind) not in FORGETS or not is_lost(verdict):
        raise Violated(f"the session failed: {verdict}")
    rig.must_be_good(rig.session())
    return "ended: lost; good again"


def daemon_killed(rig):
    """A mesh's daemon that dies is started again."""
    machine = rig.lab["p1"]

    def told():
        return machine.journal("e3-agent", "--output=json").count("daemon-died")

    before = told()
    machine.run(["systemctl", "kill", "--signal=KILL", rig.unit])
    # Not by its status: it may be back before anybody looks.
    until(lambda: told() > before, JOIN_SECONDS, lambda: "the agent has not noticed it")
    rig.waits_for("p1", "joined")
    rig.must_be_good(rig.session())
    return "good"


def hardened(rig):
    """What systemd says of the daemon's unit: it may change the network, and nothing else of the machine."""
    machine = rig.lab["p0"]
    said = machine.run(["systemd-analyze", "verify", rig.unit])
    if said.out + said.err:
        raise Violated(said.out + said.err)
    machine.run(["systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE}", rig.unit])
    pid = machine.run(["systemctl", "show", "--property=MainPID", "--value", rig.unit]).out.strip()
    if "Uid:\t0\t" in machine.read(f"/proc/{pid}/status"):
        raise Violated("it runs as root")
    return "good"


def agent_restarted(rig):
    """The mesh outlives the agent: an update of it cuts nobody off."""
    before = rig.lab["p2"].run(["systemctl", "show", "--property=MainPID", "--value", rig.unit]).out
    rig.lab["p2"].run(["systemctl", "restart", "e3-agent"])
    rig.waits_for("p2", "joined")
    if before != rig.lab["p2"].run(["systemctl", "show", "--property=MainPID", "--value", rig.unit]).out:
        raise Violated("the daemon was started anew")
    return "good"


def anchor_killed(rig):
    """The anchor goes away in the middle of a session: it goes on where packets did not go by the anchor, or ends on every
    party with who cannot be heard any more; and when the anchor is back, so are sessions."""
    name = rig.session("slow.py")
    rig.runs(name)
    rig.lab[ANCHOR].power_cut()
    verdict = rig.verdict(name)
    if verdict != "good" and not is_lost(verdict):
        raise Violated(f"it did not end as it should: {verdict}")
    rig.lab[ANCHOR].boot()
    rig.waits_for(ANCHOR, "joined")
    rig.joined()
    # Whoever was relayed finds the way again.
    last = None
    for _ in range(3):
        last = rig.verdict(rig.session())
        if last == "good":
            words = "went on" if verdict == "good" else f"ended: {verdict[0][0]}"
            return f"{words}; good again"
    raise Violated(f"no session after the anchor is back: {last}")


def relay_killed(rig):
    """The relay dies in the middle of a session, and is started again by the hub: the session goes on, whoever was relayed."""
    name = rig.session("slow.py")
    rig.runs(name)
    before = rig.relay()
    os.kill(before, signal.SIGKILL)
    rig.must_be_good(name)
    until(lambda: rig.relay() not in (None, before), JOIN_SECONDS, lambda: "the hub does not start its relay again")
    rig.must_be_good(rig.session())
    return "went on; good again"


def no_relay(rig):
    """A machine that starts anew while there is no relay says so, and is back when the relay is."""
    rig.fleet.hub_off()
    rig.lab["p0"].run(["systemctl", "kill", "--signal=KILL", rig.unit])
    rig.waits_for("p0", "no-relay")
    rig.fleet.hub_on()
    rig.waits_for("p0", "joined")
    rig.must_be_good(rig.session())
    return "told: no-relay; good again"


def key_lost(rig):
    """A machine that has lost its mesh key makes a new one, and is let in with it; sessions of the others go on meanwhile."""
    others = ("p0", "p1")
    name = rig.session("slow.py", others)
    rig.runs(name, others)
    key_gone(rig, "p2")
    rig.joined(["p2"])
    rig.must_be_good(name, others)
    rig.must_be_good(rig.session())
    return "good"


def expired(rig):
    """A machine whose certificate has expired says so, and is back as soon as there is a newer one."""
    key_gone(rig, "p2")
    rig.joined(["p2"], sign=("--for", "20s"))
    rig.waits_for("p2", "certificate-expired")
    rig.joined()
    rig.must_be_good(rig.session())
    return "good"


def key_gone(rig, name):
    """A machine has lost its key, and made another one, which nobody lets in."""
    rig.lab[name].run(["rm", f"/var/lib/e3/mesh/{rig.backend}/key"])
    rig.lab[name].run(["systemctl", "restart", "e3-agent"])
    rig.waits_for(name, "needs-approval")


def revoked(rig):
    """A party whose certificate was taken back knows it, nobody takes its packets, and sessions with it name it."""
    rig.fleet.e3("mesh", "revoke", "p1")
    rig.waits_for("p1", "certificate-revoked")
    if signed := rig.sign():
        raise Violated(f"it got a new certificate by itself: {signed}")
    verdict = rig.verdict(rig.session())
    if verdict == "good" or verdict[0][1] != PARTIES.index("p1"):
        raise Violated(f"the others do not name it: {verdict}")
    return f"{verdict[0][0]} names it"


def off(rig):
    """A fleet that wants no mesh any more leaves nothing of it on its machines."""
    rig.fleet.e3("mesh", "off")
    for name in (*PARTIES, ANCHOR):
        rig.waits_for(name, "none")
        nothing_left(rig, name)
    return "good"


def nothing_left(rig, name):
    """Of a mesh that a machine has left there is no daemon, no file that it read, no network device, and no rule for one."""
    unit = rig.lab[name].run(["systemctl", "is-active", rig.unit], check=False).out.strip()
    folder = rig.lab[name].run(["ls", "/run/e3party"]).out
    devices = {link["ifname"] for link in json.loads(rig.lab[name].run(["ip", "-json", "link"]).out)}
    rules = [rule for rule in json.loads(rig.lab[name].run(["ip", "-json", "-6", "rule"]).out) if "iif" in rule]
    if unit != "inactive" or "mesh" in folder or devices != {"lo", "eth0"} or rules:
        raise Violated(f"{name}: the daemon is {unit}; {folder}; {devices}; {rules}")


CASES = (
    join, session, ways, stranger, evaluated, hardened, cable_moved, agent_restarted, daemon_killed, restarted, anchor_killed,
    key_lost, expired, revoked, off,
)
# With a relay in the place of an anchor.
RELAYED = (
    join, session, ways, stranger, evaluated, hardened, cable_moved, agent_restarted, daemon_killed, restarted, relay_killed,
    no_relay, key_lost, expired, revoked, off,
)
# Of a mesh whose packets go straight only where the agents find out that they can.
TOLD = (*CASES[:3], straight, reserve, *CASES[3:])


def blocked(rig):
    """Where UDP does not get out, a machine of a mesh that needs it says so: the hub knows from the others that UDP reaches it."""
    rig.choose()
    rig.joined(names=("p1", ANCHOR))
    for name in ("p0", "p2"):
        rig.waits_for(name, "udp-blocked")
    return "told: udp-blocked"


def plain(rig):
    """Without a mesh, machines that reach each other compute together all the same."""
    shown = [rig.address(name) for name in PARTIES]
    if shown != [rig.lab.network.node(name).address for name in PARTIES]:
        raise Violated(f"the machines tell other addresses than their own: {shown}")
    rig.must_be_good(rig.session())
    return "good"


plain.__name__ = "session"
# What a backend must do at least: for `--short`.
QUICK = (join, session, ways, stranger, hardened, off, blocked)
# Of a fleet without a mesh.
PLAIN = (plain, ways, stranger, cable_moved)
