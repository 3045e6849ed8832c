"""The stranger who connects first. MPyC takes whoever comes for a party, so nobody but the session's parties may reach it.

While a session is started, whose party 0 takes its time before it connects, strangers try all ports that the session may have
and the agents' own, at every address that they can reach, and say what MPyC's party 0 would say, TLS without a certificate,
noise, and nothing. They are

- outside the mesh: whoever has the party's router or switch. At the machine's address, and, since Linux answers for all of a
  machine's addresses on all of its cables, at its mesh address without the mesh;
- inside the mesh, and not in the session: the anchor;
- on the machine of a party: another user of it, who has the right address. There is only TLS between him and the session.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from ..cells import Violated
from ..fleet import until
from ..inside import enter
from ..network import namespace
from .rig import ANCHOR, PARTIES

SCRIPT = Path(__file__).with_name("stranger.py")
# MPyC's own default, which manifests have if they say nothing: party i is at this one and i.
SESSION_PORT = 11365
AGENT_PORT = 7332
# More than an agent has places for one neighbour who has not said who he is.
CROWD = 80
# Another user of a party's machine shares that party's places with its agent: that party only harms itself.
ALONE = 0
SECONDS = 20
END_SECONDS = 10
ATTEMPTS = 3
# What TLS says to whom it does not understand, in hexadecimal: an alert.
ALERT = "1503"


class Stranger:
    """One of them, at work until it is left."""

    def __init__(self, name, command, places, crowd, at_home=False):
        self.name = name
        # Whether it comes from an address of the session's own.
        self.at_home = at_home
        targets = [(host, port, crowd if port == AGENT_PORT else 0) for host in places
                   for port in (*range(SESSION_PORT, SESSION_PORT + len(PARTIES)), AGENT_PORT)]
        self._process = subprocess.Popen([*command, json.dumps(targets)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        said = self._process.stdout.readline()
        if said != "begun\n":
            raise Violated(f"{self.name} does not begin, but says {said!r}")
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def tells(self):
        """It ends, and tells what came of it."""
        out, _ = self._process.communicate(timeout=END_SECONDS)
        return json.loads(out)


def stranger(rig):
    """Nobody but the session's parties is spoken to, and the result is right."""
    for _ in range(ATTEMPTS):
        count, reached = once(rig)
        if len(reached) == len(PARTIES) - 1:
            return f"good; {count} strangers"
    # Otherwise nobody has tried anything.
    raise Violated(f"even from an address of the session the strangers have found nobody but {reached}")


def once(rig):
    """A session with strangers around it. Returns how many, and whom of the session those have found whom only TLS keeps out: on
    a busy computer they may come too late."""
    with ExitStack() as stack:
        strangers = [stack.enter_context(one) for one in everybody(rig)]
        name = rig.session("late.py")
        verdict = rig.verdict(name)
        told = [(one, one.tells()) for one in strangers]
    if verdict != "good":
        raise Violated(f"strangers kept a session from its end: {verdict}")
    spoken_to = [f"{one.name} at {target['host']} {target['port']}: {target['connected']} of {target['tried']}, {target['heard']}"
                 for one, targets in told for target in targets if is_wrong(one, target)]
    if spoken_to:
        raise Violated("spoken to: " + "; ".join(spoken_to))
    return len(told), [target for one, targets in told for target in targets
                       if one.at_home and target["port"] != AGENT_PORT and target["connected"]]


def is_wrong(one, target):
    """Whether somebody has let this stranger in, or answered otherwise than by TLS's alert."""
    is_sessions = target["port"] != AGENT_PORT
    return (is_sessions and not one.at_home and target["connected"] > 0) or any(not said.startswith(ALERT) for said in target["heard"])


def everybody(rig):
    """All strangers to this fleet."""
    lab = rig.lab
    machines = {name: lab.network.node(name).address for name in PARTIES}
    sessions = {name: rig.address(name) for name in PARTIES}
    for switch in dict.fromkeys(lab.network.node(name).switch for name in PARTIES):
        here = [name for name in PARTIES if lab.network.node(name).switch == switch]
        places = [machines[name] for name in here]
        if ":" in sessions[here[0]]:
            for name in here:
                lead(lab, switch, name, sessions[name])
                places.append(sessions[name])
        where = namespace(switch)
        netns = ["ip", "netns", "exec", where] if where else []
        yield Stranger(f"the switch {switch}", [*enter(lab.holder.pid), *netns, sys.executable, "-I", SCRIPT], places, CROWD)
    reached = [machines[name] for name in PARTIES if lab.network.node(name).switch == lab.network.node(ANCHOR).switch]
    yield Stranger("the anchor", inside(lab[ANCHOR]), dict.fromkeys([*sessions.values(), *reached]), CROWD)
    yield Stranger(f"another user of {PARTIES[0]}", inside(lab[PARTIES[0]]), [sessions[name] for name in PARTIES[1:]], ALONE, at_home=True)


def inside(machine):
    """The command that is a stranger in a machine, as a user who is nobody there."""
    machine.write("/var/tmp/stranger.py", SCRIPT.read_text())
    return machine.command(["python3", "-I", "/var/tmp/stranger.py"], user="nobody")


def lead(lab, switch, name, address):
    """Has a switch send to a machine's mesh address over its cable."""
    machine = lab[name]

    def local():
        found = json.loads(machine.run(["ip", "-json", "-6", "address", "show", "dev", "eth0", "scope", "link"]).out)
        return [info["local"] for link in found for info in link.get("addr_info", ()) if not info.get("tentative")]

    through = until(local, SECONDS, lambda: f"{name} has no address of its cable")[0]
    bridge = "internet" if switch == "hub" else "lan"
    lab.holder.run(["ip", "-6", "route", "replace", f"{address}/128", "via", through, "dev", bridge], within=namespace(switch))
