"""What happens to the victim (or to the hub), how it is over again, and what may come of it."""

import time
from dataclasses import dataclass, field
from typing import Callable

from . import states

# How long a hub or a cable is away: longer than the agents' patience with one another (they miss heartbeats after seconds).
AWAY_SECONDS = 12
# How long where nobody is to notice.
BRIEFLY_SECONDS = 3
FILLER = "/var/lib/e3/filler"
SMALL_DISK = "32m"


class NotHere(Exception):
    """The cell cannot be tried, and why."""


@dataclass(frozen=True)
class Strike:
    """One column of the table."""

    name: str
    strike: Callable
    # Reasons for which a running session may end; empty: it must end well.
    kinds: frozenset = field(default_factory=frozenset)
    # Before the barrier opens, the session must end well all the same.
    survives_before: bool = True
    # A session that runs need not notice.
    may_miss: bool = False
    # Whoever is cut off cannot know that it is not the others who are.
    blinds: bool = False
    # Needs a victim of its own kind.
    small_disk: bool = False
    # Where it makes sense, and why not elsewhere.
    states: tuple = states.STATES
    not_here: str = ""

    def check(self, state):
        """Refuses the cells that there cannot be."""
        if state not in self.states:
            raise NotHere(self.not_here)


def agent_killed(rig, _state):
    """systemd starts it again by itself."""
    rig.victim.kill("e3-agent.service")


def party_killed(rig, _state):
    """The session's program, and whatever it has started."""
    for unit in rig.units(rig.victim):
        rig.victim.kill(unit.split()[0])


def power_cut(rig, _state):
    """And back."""
    rig.victim.power_cut()
    rig.lab.boot([rig.victim.name])


def partition(rig, state):
    """Cut off from everybody, and back."""
    rig.lab.cut(rig.victim.name)
    time.sleep(AWAY_SECONDS if state is states.running else BRIEFLY_SECONDS)
    rig.lab.heal()


def hub_gone(rig, state):
    """And back."""
    rig.fleet.hub_off()
    time.sleep(AWAY_SECONDS if state is states.running else BRIEFLY_SECONDS)
    rig.fleet.hub_on()


def disk_full(rig, _state):
    """Not a byte is left for the agent; then there is room again."""
    rig.victim.run(["sh", "-c", f"cat /dev/zero >{FILLER} 2>/dev/null; true"])
    time.sleep(BRIEFLY_SECONDS)
    rig.victim.run(["rm", FILLER])


def bus_restarted(rig, _state):
    """D-Bus dies, and systemd starts it again when somebody wants it."""
    rig.victim.kill("dbus.service")
    rig.victim.run(["systemctl", "start", "dbus.service"])


def small_disk(rig):
    """Gives the victim's agent a disk that can be filled: its state on a small file system."""
    rig.victim.run(["systemctl", "stop", "e3-agent"])
    rig.victim.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=0700", "tmpfs", "/var/lib/e3"])
    rig.victim.run(["chown", "e3:e3", "/var/lib/e3"])


LOST = frozenset({"lost", "agent-restarted"})
STRIKES = (
    Strike("agent killed", agent_killed, LOST),
    Strike("program killed", party_killed, frozenset({"killed"}), survives_before=False,
           states=(states.preflight, states.running), not_here="no program of the session runs in this state"),
    Strike("power cut", power_cut, LOST),
    Strike("partition", partition, frozenset({"lost"}), blinds=True),
    Strike("hub gone", hub_gone),
    Strike("disk full", disk_full, frozenset({"disk", "lost"}), survives_before=False, may_miss=True, small_disk=True),
    Strike("clock jump", lambda *_: None, states=(), not_here="containers share the host's clock; it takes an emulated machine"),
    Strike("bus restarted", bus_restarted),
)
