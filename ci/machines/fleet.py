"""A fleet in a laboratory, made as a person would: the owner and the hub at the hub's place, a join file on each machine.

Everything is done by the released commands, `e3` and `e3-agent`; nothing is put into their state from outside.
"""

import json
import os
import subprocess
import time
from pathlib import Path

from . import plan
from .failure import LabError

PORT = 8420
HUB = f"http://{plan.HUB}:{PORT}"
# How long the machines may take to enrol; it is a second where nothing else runs.
ENROLMENT_SECONDS = 60
HUB_SECONDS = 20
# Between two looks at something that cannot be waited for.
LOOK_SECONDS = 0.1
INPUT = "/etc/e3/inputs/salary"
POLICY = f"""\
[inputs.salary]
file = "{INPUT}"
sessions = ["*"]
"""


class Fleet:
    """The owner's key, the fleet's folder, the hub's process; `tell(command, output)` hears of what is done."""

    def __init__(self, lab, e3, tell=lambda _command, _output: None):
        self.lab = lab
        self.binary = e3
        self.tell = tell
        self.folder = lab.folder / "owner"
        self.name = "demo"
        self.parties = sorted(lab.machines, key=lambda name: int(name[1:]))
        self._hub = None
        # More flags of `e3 fleet new` and `e3 hub serve`. Machines meet directly here: meshes have laboratories of their own.
        self.new_options = ["--mesh", "none"]
        self.hub_options = []

    def e3(self, *args, at_hub=True, check=True):
        """Runs `e3` in the owner's folder; at the hub's place, or on the host, where Python packages come from."""
        argv = [self.binary, *args]
        environment = [f"E3_KEY={self.folder / 'key.pem'}"]
        if self.folder.joinpath(self.name).exists():
            environment.append(f"E3_FLEET={self.folder / self.name}")
        inside = ["env", f"--chdir={self.folder}", *environment, *argv]
        if at_hub:
            done = self.lab.hub.run(inside, check=False)
        else:
            done = subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            done.status, done.out, done.err = done.returncode, done.stdout, done.stderr
        if check and done.status:
            raise LabError(f"`e3 {' '.join(args)}` ended with status {done.status}: {(done.err or done.out).strip()}")
        self.tell("e3 " + " ".join(str(arg) for arg in args), done.out)
        return done

    def found(self):
        """Key, fleet, hub."""
        self.folder.mkdir()
        self.e3("key", "new", "key.pem")
        self.e3("fleet", "new", self.name, "--hub", HUB, *self.new_options)
        self.hub_on()

    def start(self, seconds=ENROLMENT_SECONDS):
        """All of it; returns when all machines have enrolled and are accepted."""
        self.found()
        for name in self.parties:
            self.join(name)
        self.enrolled(self.parties, seconds)
        self.accept()

    def accept(self):
        """The owner accepts all machines that have enrolled."""
        self.e3("fleet", "accept", "--all", "--yes")

    def join(self, name):
        """Puts a join file on a machine, the only thing that its user adds."""
        self.e3("fleet", "invite", name, "-o", f"{name}.toml")
        join_file = (self.folder / f"{name}.toml").read_text()
        self.lab[name].write("/etc/e3/e3.toml", join_file, mode="0600", owner="e3")

    def hub_on(self):
        """Starts the hub, and waits until it listens."""
        path = self.folder / "hub.log"
        with open(path, "wb") as log:
            self._hub = self.lab.hub.start([self.binary, "hub", "serve", "--fleet", self.folder / self.name, *self.hub_options],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: "listens at" in path.read_text() or self._hub.poll() is not None, HUB_SECONDS,
              lambda: "the hub does not start: " + path.read_text()[-1000:])
        if self._hub.poll() is not None:
            raise LabError("the hub has ended: " + path.read_text()[-1000:])
        self.tell("e3 hub serve", path.read_text())

    def hub_off(self):
        """Ends the hub at once."""
        self._hub.kill()
        self._hub.wait()
        self._hub = None

    def is_hubs(self, pid):
        """Whether a process was started by the hub."""
        while pid > 1 and self._hub:
            if pid == self._hub.pid:
                return True
            try:
                pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                break
        return False

    def status(self):
        """What the owner sees of the machines, by name."""
        shown = json.loads(self.lab.hub.run([self.binary, "fleet", "status", "--json", "--fleet", self.folder / self.name]).out)
        return {party["name"]: party for party in shown["parties"]}

    def enrolled(self, names, seconds=ENROLMENT_SECONDS):
        """Waits until these machines have enrolled and say that they are ready."""
        def ready():
            now = self.status()
            return all(now.get(name, {}).get("state") == "ready" for name in names)

        until(ready, seconds, lambda: f"the machines have not enrolled: {self.status()}\n" + self.agent_log(names[0]))

    def agent_log(self, name):
        """The last words of a machine's agent."""
        return self.lab[name].journal("e3-agent", "--output=cat", "--lines=20")

    def give_inputs(self, salaries):
        """A private number for each machine, and the owner's policy that lends it to sessions."""
        for name, salary in zip(self.parties, salaries, strict=True):
            self.lab[name].write(INPUT, f"{salary}\n", mode="0600", owner="e3")
            self.lab[name].write("/etc/e3/policy.toml", POLICY)

    def sign(self, name, program, *, parties=None, inputs=('salary = "all"',), top="", preflight=30):
        """Writes and signs the manifest of a session that runs `program` (a path), on all machines if nothing is said."""
        manifest = "\n".join([
            f'name = "{name}"', f"parties = {json.dumps(parties or self.parties)}", f"program = {json.dumps(str(program))}",
            'equal = ["stdout"]', top, "[inputs]", *inputs, "[mpyc]", 'version = "0.11"',
            "[deadlines]", f'preflight = "{preflight}s"', f'connect = "{max(preflight, 30)}s"', ""])
        (self.folder / f"{name}.toml").write_text(manifest)
        self.e3("session", "sign", f"{name}.toml", at_hub=False)

    def push(self, name, *more):
        """Publishes a signed session."""
        return self.e3("session", "push", f"{name}.session", *more)

    def verdict(self, name, seconds):
        """Waits for all receipts of a session, and returns them: what every party says, in order; None for who says nothing."""
        receipts = []

        def all_there():
            receipts[:] = self.receipts(name, seconds)
            return receipts and None not in receipts

        try:
            # The command waits, too, but not for a receipt that is late after a failure.
            until(all_there, seconds, lambda: "")
        except LabError:
            if not receipts:
                raise LabError(f"`e3 session watch {name}` shows no receipts within {seconds} s") from None
        return receipts

    def receipts(self, name, seconds):
        """What the parties have signed so far, or nothing if the hub cannot be asked."""
        done = self.e3("session", "watch", name, "--json", "--timeout", str(seconds), check=False)
        try:
            return [party.get("receipt") for party in json.loads(done.out.splitlines()[-1])["parties"]]
        except (IndexError, KeyError, ValueError):
            return []


def progress(machine, session):
    """How far a machine says it is with a session, or None."""
    answer = machine.run(["e3-agent", "status", "--json"], check=False)
    try:
        sessions = json.loads(answer.out)["notes"]["sessions"]
    except (ValueError, KeyError):
        return None
    return next((known["progress"] for known in sessions if known["name"] == session), None)


def until(what, seconds, complaint):
    """Looks until `what()` is true, and returns that; fails with `complaint()` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > end:
            raise LabError(complaint())
        time.sleep(LOOK_SECONDS)


def need_binary():
    """The owner's command: E3_CLI, set by `ci/lab`."""
    path = os.environ.get("E3_CLI", "")
    if not os.access(path, os.X_OK):
        raise LabError("there is no `e3` to run: set E3_CLI to its path, or let ci/lab build it by leaving E3_AGENT unset")
    return path
