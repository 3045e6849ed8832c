"""Sessions for tests: programs as texts, run by a fleet on the laboratory's machines."""

import json

from .. import fleet

PATIENCE = 60


def until(what, look, seconds=PATIENCE):
    """Looks until there is something, and returns it; fails with `what` after `seconds`."""
    return fleet.until(look, seconds, lambda: f"not within {seconds} s: {what() if callable(what) else what}")


class Sessions:
    """What tests do with a fleet of all machines of a laboratory."""

    def __init__(self, lab, joined=None):
        """`joined`: the fleet of its machines, if they have one."""
        self.lab = lab
        self.fleet = joined or fleet.Fleet(lab, fleet.need_binary())
        if joined is None:
            self.fleet.start()
        self._count = 0

    def e3(self, *args, **how):
        """What the owner's command answers with `--json`."""
        return json.loads(self.fleet.e3(*args, "--json", **how).out.splitlines()[-1])

    def push(self, program, *, parties=None, args=(), keys="", tables=""):
        """Writes, signs and publishes a session; returns its name."""
        self._count += 1
        name = f"session-{self._count}"
        (self.fleet.folder / f"{name}.py").write_text(program)
        (self.fleet.folder / f"{name}.toml").write_text(
            f'name = "{name}"\nparties = {json.dumps(parties or self.fleet.parties)}\nprogram = "{name}.py"\n'
            f'args = {json.dumps(list(args))}\n{keys}\n[mpyc]\nversion = "0.11"\n{tables}\n')
        self.fleet.e3("session", "sign", f"{name}.toml", at_hub=False)
        self.fleet.push(name)
        return name

    def watch(self, name):
        """Waits for all receipts of a session; returns what is said of it."""
        def look():
            verdict = self.e3("session", "watch", f"{name}.session", "--timeout", str(PATIENCE), check=False)
            # After a failure the command does not wait for a receipt that is late: that of an agent which was killed.
            parties = verdict.get("parties")
            return parties and all(party["receipt"] for party in parties) and verdict

        return until(f"all receipts of {name}", look)

    def run(self, program, **plan):
        """A session from the push to its receipts."""
        return self.watch(self.push(program, **plan))

    def result(self, machine, name):
        """What the program printed on a machine: its owner can read it there."""
        return self.lab[machine].run(["e3-agent", "result", name]).out
