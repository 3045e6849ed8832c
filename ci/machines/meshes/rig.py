"""A fleet with a mesh: parties p0, p1 and p2, and p3, which all can reach and which takes part in no session."""

import json
import os
import time

from ..fleet import Fleet, need_binary, until

JOIN_SECONDS = 30
# What the agents' own deadlines add when something fails.
VERDICT_SECONDS = 90
PORT = 4242
PARTIES = ("p0", "p1", "p2")
ANCHOR = "p3"
SUM = """\
import time
from mpyc.runtime import mpc

async def main():
    secint = mpc.SecInt(64)
    await mpc.start()
    end = time.monotonic() + {seconds}
    # Party 0's clock decides for all of them when it is enough.
    while await mpc.transfer(time.monotonic() < end, senders=0):
        total = await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))
    print("sum", int(total))
    await mpc.shutdown()

mpc.run(main())
"""


class Violated(Exception):
    """Something that must hold does not: the cell has failed."""


class Rig:
    """The fleet and its mesh."""

    def __init__(self, lab, backend):
        self.lab = lab
        self.backend = backend
        self.unit = f"e3-mesh-{backend}.service"
        self.fleet = Fleet(lab, need_binary())
        self._count = 0

    def start(self):
        """Makes the fleet, without a mesh."""
        self.fleet.start()
        for name, seconds in (("quick.py", 0.05), ("slow.py", 8)):
            (self.fleet.folder / name).write_text(SUM.format(seconds=seconds))

    def choose(self):
        """Has the fleet choose the mesh."""
        endpoint = f"{self.lab.network.node(ANCHOR).address}:{PORT}"
        self.fleet.e3("mesh", self.backend, "--anchor", f"{ANCHOR}={endpoint}")

    def sign(self, *more):
        """Signs whatever certificates are asked for; returns for whom."""
        return json.loads(self.fleet.e3("mesh", "sign", "--json", *more).out.splitlines()[-1])["signed"]

    def mesh(self, name):
        """What a machine says of its mesh."""
        answer = self.lab[name].run(["e3-agent", "status", "--json"], check=False)
        try:
            return json.loads(answer.out)["mesh"]
        except (ValueError, KeyError):
            return {"state": "no answer"}

    def waits_for(self, name, kind, seconds=JOIN_SECONDS):
        """Waits until a machine is `joined`, or is not for this reason."""
        def is_so():
            mesh = self.mesh(name)
            return kind in (mesh["state"], mesh.get("reason", {}).get("kind"))

        until(is_so, seconds, lambda: f"{name} is not {kind} after {seconds} s but {self.mesh(name)}; {self.fleet.agent_log(name)[-600:]}")

    def joined(self, names=(*PARTIES, ANCHOR), seconds=JOIN_SECONDS, sign=()):
        """Signs for whoever asks until all of these have joined; returns how long that took."""
        begin = time.monotonic()
        missing = list(names)
        while missing:
            self.sign(*sign)
            missing = [name for name in missing if self.mesh(name)["state"] != "joined"]
            if missing and time.monotonic() - begin > seconds:
                raise Violated(f"not joined after {seconds} s: " + "; ".join(f"{name}: {self.mesh(name)}" for name in missing)
                               + self.fleet.agent_log(missing[0])[-600:])
        return time.monotonic() - begin

    def session(self, program="quick.py", top=""):
        """Starts a session among the three parties; returns its name."""
        self._count += 1
        name = f"cell-{self._count}"
        wheel = os.environ.get("E3_TEST_WHEEL")
        manifest = [f'name = "{name}"', f"parties = {json.dumps(PARTIES)}", f'program = "{program}"', 'equal = ["stdout"]', top,
                    "[mpyc]", 'version = "0.11"', f"wheel = {json.dumps(wheel)}" if wheel else "", "[deadlines]", 'preflight = "20s"', ""]
        (self.fleet.folder / f"{name}.toml").write_text("\n".join(manifest))
        self.fleet.e3("session", "sign", f"{name}.toml", at_hub=False)
        self.fleet.push(name)
        return name

    def verdict(self, name):
        """`good`, or the reasons of all parties with whom they blame."""
        receipts = self.fleet.verdict(name, VERDICT_SECONDS)
        if None in receipts:
            raise Violated(f"no receipt of {name} from " + ", ".join(party for party, receipt in zip(PARTIES, receipts, strict=False) if not receipt))
        failures = [receipt["outcome"].get("failure") for receipt in receipts]
        if any(failures):
            return [(failure["reason"]["kind"], failure["party"]) if failure else ("done", None) for failure in failures]
        printed = self.lab[PARTIES[0]].run(["e3-agent", "result", name]).out.strip()
        if printed != "sum 6":
            raise Violated(f"wrong result: {printed}")
        return "good"

    def must_be_good(self, name):
        """The session's parties have all computed the right sum."""
        verdict = self.verdict(name)
        if verdict != "good":
            raise Violated(f"the session failed: {verdict}")

    def runs(self, name):
        """Waits until a session runs on all parties."""
        def running():
            return all(self._progress(party, name) == "running" for party in PARTIES)

        until(running, JOIN_SECONDS, lambda: f"{name} does not run: {[self._progress(party, name) for party in PARTIES]}")

    def _progress(self, party, name):
        answer = self.lab[party].run(["e3-agent", "status", "--json"], check=False)
        try:
            sessions = json.loads(answer.out)["notes"]["sessions"]
        except (ValueError, KeyError):
            return None
        return next((session["progress"] for session in sessions if session["name"] == name), None)
