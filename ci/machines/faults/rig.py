"""The fleet that faults happen to, and what must hold when they are over: judged from the outside, by receipts, units and
journals.
"""

from datetime import datetime, timedelta, timezone

from ..cells import Violated, outcome
from ..fleet import ENROLMENT_SECONDS, Fleet, progress, until

# A session that nothing holds takes seconds; what an emergency adds are the agents' own deadlines (10 to 30 s).
RECEIPTS_SECONDS = 90
HEALTHY_SECONDS = 45
STATE_SECONDS = 30
# All this, and what a session's manifest allows, is so many times as long where a machine is emulated.
EMULATED_TIMES = 4
PREFLIGHT_SECONDS = 60
# How long the slow program computes: long enough to be hit while it does.
RUN_SECONDS = 8
SALARIES = (45919, 53838, 77595)
SLOW = f"""\
import os, time
from mpyc.runtime import mpc

async def main():
    with open(os.path.join(os.environ["E3_INPUTS"], "salary"), encoding="ascii") as file:
        salary = int(file.read())
    secint = mpc.SecInt(64)
    await mpc.start()
    end = time.monotonic() + {RUN_SECONDS}
    # Party 0's clock decides for all of them when it is enough.
    while await mpc.transfer(time.monotonic() < end, senders=0):
        total = await mpc.output(mpc.sum(mpc.input(secint(salary))))
    print(int(total))
    await mpc.shutdown()

mpc.run(main())
"""
QUICK = SLOW.replace(f"+ {RUN_SECONDS}", "+ 0.05")
# Where a machine of the table asks for what its user would not see: see `states`.
PYTHON = "/usr/local/lib/lab/python"


class Rig:
    """Three machines with a fleet; one of them, the victim, is what things happen to. An emulated one is given more time."""

    def __init__(self, lab, e3, victim="p1"):
        self.lab = lab
        self.fleet = Fleet(lab, e3)
        self.parties = self.fleet.parties
        self.victim = lab[victim]
        self.place = self.parties.index(victim)
        # Somebody who is not the victim.
        self.other = lab[self.parties[(self.place + 1) % len(self.parties)]]
        self._times = EMULATED_TIMES if self.victim.kind == "emulated" else 1
        self._count = 0

    def patience(self, seconds):
        """How long to wait for what takes a machine of this computer's own speed at most so long."""
        return self._times * seconds

    def start(self, prepare):
        """Prepares the victim and makes the fleet."""
        prepare(self)
        self.fleet.start(self.patience(ENROLMENT_SECONDS))
        self.fleet.give_inputs(SALARIES)
        slow = SLOW.replace(f"+ {RUN_SECONDS}", f"+ {self.patience(RUN_SECONDS)}")
        for name, text in (("slow.py", slow), ("quick.py", QUICK)):
            (self.fleet.folder / name).write_text(text)

    def push(self, program="slow.py", not_before=None):
        """Starts a session and returns its name."""
        self._count += 1
        name = f"cell-{self._count}"
        top = ""
        if not_before is not None:
            start = datetime.now(timezone.utc) + timedelta(seconds=self.patience(not_before))
            top = f"not_before = {start:%Y-%m-%dT%H:%M:%SZ}"
        self.fleet.sign(name, program, top=top, preflight=self.patience(PREFLIGHT_SECONDS))
        self.fleet.push(name)
        return name

    def reaches(self, name, state, machine=None):
        """Waits until a machine (the victim if nothing is said) is in a state."""
        machine = machine or self.victim
        until(lambda: progress(machine, name) == state, self.patience(STATE_SECONDS),
              lambda: f"{machine.name} is not {state} but {progress(machine, name)}; {self.fleet.agent_log(machine.name)}")

    def units(self, machine):
        """The sessions' units that are there."""
        return machine.run(["systemctl", "list-units", "--plain", "--no-legend", "--all", "e3-party@*"], check=False).out.split("\n")[:-1]

    def verdict(self, name):
        """What the parties say in the end: `good`, or a list of (kind, who is to blame) for each party."""
        receipts = self.fleet.verdict(name, self.patience(RECEIPTS_SECONDS))
        return outcome(self.parties, receipts, self.patience(RECEIPTS_SECONDS))

    def clean(self, name, ran):
        """Nothing ran twice, nothing is left, everybody is well, and the next session ends well. `ran`: whether every party
        must have run the program."""
        for party in self.parties:
            machine = self.lab[party]
            # The agent says so before the program's first instruction, and the journal has it through power cuts.
            runs = machine.journal("e3-agent", "--output=json", "E3_SESSION=" + name, "E3_PROGRESS=running").count("\n")
            if runs > 1:
                raise Violated(f"{party} ran the program {runs} times")
            if ran and not runs:
                raise Violated(f"the journal of {party} does not say that the program ran, and it did")
            until(lambda machine=machine: not self.units(machine), self.patience(HEALTHY_SECONDS),
                  lambda machine=machine: f"left over at {machine.name}: {self.units(machine)}")
            until(lambda machine=machine: machine.succeeds(["systemctl", "is-active", "--quiet", "e3-agent"]),
                  self.patience(HEALTHY_SECONDS),
                  lambda party=party: f"the agent of {party} is not active: {self.fleet.agent_log(party)}")
        self.fleet.enrolled(self.parties, self.patience(ENROLMENT_SECONDS))
        after = self.push("quick.py")
        said = self.verdict(after)
        if said != "good":
            raise Violated(f"the next session fails: {said}")
