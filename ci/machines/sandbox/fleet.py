"""A fleet in a laboratory: the hub at the lab's hub, the machines as parties, sessions among them.

Everything goes the way that a user goes: keys, fleet and manifests by the `e3` command, join files put into machines,
results read from receipts. The owner's folder is on the host, and is gone with the laboratory.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .. import plan
from ..failure import LabError

PATIENCE = 60
PORT = 8420
MPYC = "0.11"


def until(what, look, seconds=PATIENCE):
    """Looks until there is something, and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise LabError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def cli():
    """The `e3` command: `E3_CLI`, or the one beside the agent that is tried."""
    path = os.environ.get("E3_CLI") or shutil.which("e3", path=str(Path(os.environ["E3_AGENT"]).parent))
    if not path:
        raise LabError("there is no `e3` beside E3_AGENT; build it: cargo build -p e3-cli")
    return path


class Fleet:
    """Parties `p0`, `p1`, … on the machines of that name. A context manager; the laboratory is up already."""

    def __init__(self, lab, settings=""):
        self.lab = lab
        self.names = list(lab.machines)
        self.settings = settings
        self.policy = ""
        self._held = contextlib.ExitStack()
        self._counter = 0

    def __enter__(self):
        self.folder = Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="e3-fleet-")))
        self.fleet = self.folder / "fleet"
        try:
            self._found()
            for name in self.names:
                self._join(name)
            self.agents_are("ready")
            self.e3("fleet", "accept", "--all", at="hub")
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, *_):
        self._held.close()

    def e3(self, *args, at=None, check=True):
        """Runs the owner's command, on the host or at the hub, and returns what its `--json` says."""
        key = ["--key", str(self.folder / "key.pem")] if args[0] in ("session", "fleet") and self._takes_key(args) else []
        fleet = ["--fleet", str(self.fleet)] if args[:2] != ("fleet", "new") else []
        argv = [cli(), "--json", *args, *fleet, *key]
        if at:
            done = self.lab[at].run(argv, check=False)
            status, out, err = done.status, done.out, done.err
        else:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=self.folder)
            status, out, err = done.returncode, done.stdout, done.stderr
        if check and status:
            raise LabError(f"`e3 {' '.join(args)}` ended with status {status}: {out or err}")
        return json.loads(out.splitlines()[-1]) if out.strip() else {}

    @staticmethod
    def _takes_key(args):
        return args[:2] in (("fleet", "new"), ("fleet", "invite"), ("session", "sign"), ("session", "push"))

    def _found(self):
        subprocess.run([cli(), "key", "new", str(self.folder / "key.pem")], check=True, capture_output=True)
        self.e3("fleet", "new", "fleet", "--hub", f"http://{plan.HUB}:{PORT}")
        serve = [cli(), "hub", "serve", "--fleet", str(self.fleet), "--listen", f"{plan.HUB}:{PORT}"]
        log = self._held.enter_context((self.folder / "hub.log").open("w"))
        hub = self.lab["hub"].start(serve, stdout=log, stderr=log)
        self._held.callback(hub.wait)
        self._held.callback(hub.terminate)

        def listens():
            if hub.poll() is not None:
                raise LabError(f"the hub has ended: {(self.folder / 'hub.log').read_text()}")
            return "listens at" in (self.folder / "hub.log").read_text()

        until("the hub listens", listens)

    def _join(self, name):
        machine = self.lab[name]
        join = self.folder / f"{name}.toml"
        self.e3("fleet", "invite", name, "-o", str(join))
        machine.write("/etc/e3/agent.toml", f'supervisor = "systemd"\n{self.settings}')
        machine.write("/etc/e3/e3.toml", join.read_text(), mode="0600", owner="e3")
        machine.run(["systemctl", "reset-failed", "e3-agent.service"], check=False)
        machine.run(["systemctl", "restart", "e3-agent.service"])

    def agents_are(self, state):
        """Waits until every agent says so at the hub."""
        def all_are():
            parties = self.e3("fleet", "status", at="hub")["parties"]
            return len(parties) == len(self.names) and all(party["state"] == state for party in parties)

        until(f"all agents are {state}", all_are)

    def push(self, program, *, parties=None, args=(), keys="", tables=""):
        """Writes, signs and publishes a session; returns its name."""
        self._counter += 1
        name = f"session-{self._counter}"
        (self.folder / f"{name}.py").write_text(program)
        manifest = self.folder / f"{name}.toml"
        manifest.write_text(
            f'name = "{name}"\nparties = {json.dumps(parties or self.names)}\nprogram = "{name}.py"\n'
            f'args = {json.dumps(list(args))}\n{keys}\n[mpyc]\nversion = "{MPYC}"\n{tables}\n'
        )
        bundle = self.folder / f"{name}.session"
        self.e3("session", "sign", str(manifest), "-o", str(bundle))
        self.e3("session", "push", str(bundle), at="hub")
        return name

    def watch(self, name):
        """Waits for all receipts of a session; returns what is said of it."""
        return self.e3("session", "watch", str(self.folder / f"{name}.session"), "--timeout", str(PATIENCE), at="hub", check=False)

    def run(self, program, **plan_of_it):
        """A session from the push to its receipts."""
        return self.watch(self.push(program, **plan_of_it))

    def result(self, machine, name):
        """What the program printed on a machine: its owner can read it there."""
        return self.lab[machine].run(["e3-agent", "result", name]).out
