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
SMALL_DISK_SIZE = "32m"
YEARS_10 = 3650 * 86400
# What the victim is. Only an emulated one has a clock of its own.
CONTAINER = "container"
SMALL_DISK = "container with a small disk"
EMULATED = "emulated"


class NotHere(Exception):
    """The cell cannot be tried, and why."""


@dataclass(frozen=True)
class Strike:
    """One column of the table."""

    name: str
    strike: Callable
    # What is done about it when the parties have given their verdict; what is over at once is over in `strike`.
    mend: Callable = lambda rig: None
    # Reasons for which a session may end, and in which states it may; elsewhere it must end well.
    kinds: frozenset = field(default_factory=frozenset)
    may_end: tuple = ()
    # A session that runs need not notice. Otherwise, where it may end, it must.
    may_miss: bool = False
    # Whoever is cut off cannot know that it is not the others who are.
    blinds: bool = False
    # What is needed as its victim.
    victim: str = CONTAINER
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
    rig.victim.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_SIZE},mode=0700", "tmpfs", "/var/lib/e3"])
    rig.victim.run(["chown", "e3:e3", "/var/lib/e3"])


def clock_forward(rig, _state=None):
    """As a broken time server would; it stays so until the session is over."""
    rig.victim.shift_clock(YEARS_10)


def clock_back(rig, _state=None):
    """The same, the other way."""
    rig.victim.shift_clock(-YEARS_10)


LOST = frozenset({"lost", "agent-restarted"})
RUNNING = (states.running,)
UNTIL_THE_END = (*states.BEFORE_BARRIER, states.running)
STRIKES = (
    Strike("agent killed", agent_killed, kinds=LOST, may_end=RUNNING),
    Strike("program killed", party_killed, kinds=frozenset({"killed"}), may_end=UNTIL_THE_END,
           states=(states.preflight, states.running), not_here="no program of the session runs in this state"),
    Strike("power cut", power_cut, kinds=LOST, may_end=RUNNING),
    Strike("partition", partition, kinds=frozenset({"lost"}), may_end=RUNNING, blinds=True),
    Strike("hub gone", hub_gone),
    Strike("disk full", disk_full, kinds=frozenset({"disk", "lost"}), may_end=UNTIL_THE_END, may_miss=True, victim=SMALL_DISK),
    # By that clock the head that allows the session has expired. Whoever has told the others the time already goes on (rule 11).
    Strike("clock +10 years", clock_forward, mend=clock_back, kinds=frozenset({"clock-skew"}),
           may_end=(states.fetched, states.verified, states.staged), victim=EMULATED),
    Strike("clock -10 years", clock_back, mend=clock_forward, victim=EMULATED),
    Strike("bus restarted", bus_restarted),
)
