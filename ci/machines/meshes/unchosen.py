"""A fleet whose owner has chosen nothing: `e3 fleet new`, `e3 hub serve`, join files on the machines, `e3 fleet accept`. He has
never heard of a mesh, and his machines compute together: through the built-in one where routers are between them, and directly
where not all of them have it."""

import json

from ..cells import Violated
from ..fleet import PORT, until
from .rig import ANCHOR, JOIN_SECONDS, PARTIES

BACKEND = "link"
EVERYBODY = (*PARTIES, ANCHOR)
PROGRAM = "/usr/bin/e3-link"
AWAY = "/var/lib/e3-link.away"


def accepted(rig):
    """Who is accepted is in, without another word."""
    for name in EVERYBODY:
        rig.waits_for(name, "joined")
    waiting = json.loads(rig.fleet.e3("fleet", "status", "--json").out)["warnings"]
    if signed := rig.sign():
        raise Violated(f"{signed} still had to be let in")
    if waiting:
        raise Violated(f"the owner is told to do something: {waiting}")
    return "good"


def behind_routers(rig):
    """Three machines of which no two reach each other compute the right result."""
    name = rig.session("slow.py")
    met = met_at(rig, name)
    rig.must_be_good(name)
    if not met or any(not address.startswith("127.") for address in met):
        raise Violated(f"it met at {met}")
    return "good"


def replaced(rig):
    """A machine that is set up anew, with new keys, comes in by being accepted, as it did the first time."""
    machine = rig.lab["p2"]
    old = rig.fleet.status()["p2"]["key"]
    machine.run(["systemctl", "stop", "e3-agent"])
    machine.run(["sh", "-c", "rm -rf /var/lib/e3/* /etc/e3/e3.toml"])
    rig.fleet.e3("fleet", "revoke", "p2")
    (rig.fleet.folder / "p2.toml").unlink()
    rig.fleet.join("p2")
    machine.run(["systemctl", "start", "e3-agent"])

    def new():
        parties = json.loads(rig.fleet.e3("fleet", "status", "--json").out)["parties"]
        return any(party["name"] == "p2" and party["key"] != old and party["presence"] for party in parties)

    until(new, JOIN_SECONDS, lambda: "the new machine has not enrolled: " + rig.fleet.agent_log("p2"))
    said = json.loads(rig.fleet.e3("fleet", "accept", "p2", "--yes", "--json").out)
    if said["let_in"] != ["p2"]:
        raise Violated(f"accepted: {said}")
    rig.waits_for("p2", "joined")
    rig.must_be_good(rig.session())
    return "good"


def one_without(rig):
    """One of three machines on a LAN has no e3-link: it says so, and sessions with it meet directly; those of the others do not."""
    machine = rig.lab["p1"]
    machine.run(["mv", PROGRAM, AWAY])
    machine.run(["systemctl", "kill", "--signal=KILL", rig.unit])
    rig.waits_for("p1", "unable")
    told_directly(rig, "p1")
    name = rig.session("slow.py")
    met = met_at(rig, name)
    rig.must_be_good(name)
    if any(address.startswith("127.") for address in met):
        raise Violated(f"it met at {met}")
    said = machine.journal("e3-agent", "--output=json").count('"unable"')
    if said != 1:
        raise Violated(f"it says so {said} times")
    machine.run(["mv", AWAY, PROGRAM])
    machine.run(["systemctl", "restart", "e3-agent"])
    rig.waits_for("p1", "joined")
    rig.must_be_good(rig.session())
    return "good"


def no_relay(rig):
    """Without a relay machines on one LAN compute together as they always did, at once."""
    rig.fleet.hub_off()
    # It was killed, and its port is free a moment later.
    until(lambda: not rig.lab.hub.run(["ss", "-Hltn", "sport", "=", f":{PORT}"]).out.strip(), JOIN_SECONDS, lambda: "the hub stays")
    rig.fleet.hub_options = ["--no-relay"]
    rig.fleet.hub_on()
    for name in PARTIES:
        rig.lab[name].run(["systemctl", "kill", "--signal=KILL", rig.unit])
    for name in PARTIES:
        rig.waits_for(name, "no-relay", 2 * JOIN_SECONDS)
        told_directly(rig, name)
    name = rig.session("slow.py")
    met = met_at(rig, name)
    rig.must_be_good(name)
    if any(address.startswith("127.") for address in met):
        raise Violated(f"it met at {met}")
    return "good"


CASES = {
    "nothing chosen": (accepted, behind_routers, replaced),
    "nothing chosen, one LAN": (accepted, one_without, no_relay),
}


def told_directly(rig, name):
    """The owner sees the machine as ready, at its own address."""
    own = rig.lab.network.node(name).address

    def is_so():
        party = rig.fleet.status()[name]
        return party["state"] == "ready" and party["presence"]["addresses"][0].startswith(f"{own}:")

    until(is_so, JOIN_SECONDS, lambda: f"{name} is not at its own address: {rig.fleet.status()[name]}")


def met_at(rig, name):
    """At which addresses the first party's program has reached the others; it runs."""
    rig.runs(name)
    sockets = rig.lab[PARTIES[0]].run(["ss", "-Htn", "state", "established"]).out.splitlines()
    peers = [peer.rsplit(":", 1) for *_, peer in (line.split() for line in sockets)]
    ports = range(11365, 11365 + len(PARTIES))
    return {address.strip("[]") for address, port in peers if int(port) in ports}
