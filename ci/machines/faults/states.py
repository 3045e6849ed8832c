"""How a session is brought into each state, and kept there until something has happened.

Two of them need help on the victim, which only machines of the table get: the agent is told of a Python that waits at a
named pipe before it answers, and the session's unit waits at another one before it starts. A pipe in /run is gone after a
power cut, so nothing is held then. Everything else is what fleets do by themselves.
"""

from ..fleet import until
from .rig import PYTHON, STATE_SECONDS

QUESTION = "/run/lab/question"
GATE = "/run/lab/gate"
WRAPPER = f"""\
#!/bin/sh
if [ -p {QUESTION} ]; then : <{QUESTION}; fi
exec /usr/bin/python3 "$@"
"""
# Inside the session's own root, where the command before its start is, too.
WAIT = f"""\
[Service]
BindReadOnlyPaths=-/run/lab
ExecStartPre=+/bin/sh -c 'if [ -p {GATE} ]; then : <{GATE}; fi'
"""
# From push to a time that is still to come when the fault is over and done with.
FETCHED_SECONDS = 12


def prepare(rig):
    """What holding needs, put onto the victim before its agent has a fleet."""
    victim = rig.victim
    victim.write(PYTHON, WRAPPER, mode="0755")
    victim.write("/etc/systemd/system/e3-party@.service.d/lab.conf", WAIT)
    victim.run(["sed", "-i", f's|^#python = .*|python = "{PYTHON}"|', "/etc/e3/agent.toml"])
    victim.run(["systemctl", "daemon-reload"])
    victim.run(["systemctl", "restart", "e3-agent"])


def hold(rig, pipe):
    """Whoever comes by there waits."""
    rig.victim.run(["sh", "-c", f"mkdir -p /run/lab && mkfifo -m 644 {pipe}"])


def release(rig):
    """Whoever waits goes on, and nobody waits any more. Nothing happens on a machine that has lost its power since."""
    rig.victim.run(["sh", "-c", f"for pipe in {QUESTION} {GATE}; do if [ -p $pipe ]; then mv $pipe $pipe.open; : 1<>$pipe.open; fi; done"])


def fetched(rig):
    """The manifest says when to start, and that is later."""
    name = rig.push(not_before=FETCHED_SECONDS)
    rig.reaches(name, "fetched")
    return name


def verified(rig):
    """The agent asks Python who it is, and has no answer yet."""
    hold(rig, QUESTION)
    # Agents remember the answer until the file changes.
    rig.victim.run(["touch", PYTHON])
    name = rig.push()
    rig.reaches(name, "verified")
    until(lambda: rig.victim.succeeds(["pgrep", "-f", f"^/bin/sh {PYTHON} "]), rig.patience(STATE_SECONDS),
          lambda: "nothing holds the session in this state: nobody waits for Python's answer")
    return name


def staged(rig):
    """The program's unit is about to start."""
    hold(rig, GATE)
    name = rig.push()
    rig.reaches(name, "staged")
    until(lambda: any("start-pre" in unit for unit in rig.units(rig.victim)), rig.patience(STATE_SECONDS),
          lambda: f"nothing holds the session in this state: {rig.units(rig.victim)}")
    return name


def preflight(rig):
    """The program waits at the gate for a party that is not there."""
    rig.other.run(["systemctl", "stop", "e3-agent"])
    name = rig.push()
    rig.reaches(name, "preflight")
    return name


def running(rig):
    """It runs on every machine."""
    name = rig.push()
    for party in rig.parties:
        rig.reaches(name, "running", rig.lab[party])
    return name


def done(rig):
    """It has ended well everywhere, and everybody has signed that."""
    name = rig.push("quick.py")
    if rig.verdict(name) != "good":
        raise AssertionError("a session that nothing happens to fails")
    return name


def go_on(rig):
    """Takes back whatever held a session."""
    release(rig)
    rig.other.run(["systemctl", "start", "e3-agent"])


# In the order of a session, with what the barrier means: whoever has passed it never starts again.
BEFORE_BARRIER = (fetched, verified, staged, preflight)
STATES = (*BEFORE_BARRIER, running, done)
