"""What can be measured of a mesh, each in one function that returns numbers and judges nothing. Used by `bench`.

Machines are anything with `run`, `start`, `write` and `read` (`..machine`), so the same is measured in a laboratory and elsewhere.
"""

import json
import re
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

from ..cells import Violated
from ..failure import LabError
from ..fleet import until

MPYC = "/opt/mpyc"
FOLDER = "/var/tmp/e3-measure"
# Of the program that is started by hand; a session of the agent's may run at the same time.
BASE_PORT = 12365
PINGS = 20
PING_SECONDS = 0.05
# A unit that takes less of the processor than this between so many looks is at rest.
IDLE_NS, IDLE_LOOKS = 5_000_000, 5
SETTLE_SECONDS = 60
# What a computation consists of: a sum, many rounds one after the other, much at once, comparisons. How long all of it took is
# measured outside, and the rounds on party 0's clock.
PROGRAM = """\
import json, time
from mpyc.runtime import mpc

secint = mpc.SecInt(64)


async def main():
    await mpc.start()
    total = await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))
    begin = time.monotonic()
    a = mpc.input(secint(mpc.pid + 2), senders=0)
    for _ in range({rounds}):
        a = a * a
        await mpc.output(a, raw=True)
    end = time.monotonic()
    many = mpc.input([secint(place) for place in range({many})], senders=0)
    squares = await mpc.output(mpc.schur_prod(many, many))
    half = {compared} // 2
    below = await mpc.output([each < half for each in many[:{compared}]])
    print(json.dumps({{"rounds_s": end - begin, "total": int(total), "squares": int(sum(squares)), "below": int(sum(below))}}))
    await mpc.shutdown()

mpc.run(main())
"""
ROUNDS, MANY, COMPARED = 200, 3000, 200
RESULT = {"total": 6, "squares": sum(place**2 for place in range(MANY)), "below": COMPARED // 2}
# Few large messages.
VOLUME = """\
import json, time
from mpyc.runtime import mpc


async def main():
    await mpc.start()
    begin = time.monotonic()
    for _ in range({blocks}):
        await mpc.transfer(bytes({block}))
    print(json.dumps({{"volume_s": time.monotonic() - begin}}))
    await mpc.shutdown()

mpc.run(main())
"""
BLOCKS, BLOCK = 20, 250_000
# Starts a daemon, says when an address has answered for the first time, and ends it when standard input ends.
JOIN = """\
import subprocess, sys, time
address, argv = sys.argv[1], sys.argv[2:]
begin = time.monotonic()
# In a session of its own, as every service is: the kernel shares its processors between sessions first, so a daemon in the
# program's own session would be woken sooner than one beside it (measured: rounds in half the time on a busy computer).
daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
while subprocess.run(["ping", "-n", "-q", "-c", "1", "-W", "1", address], **quiet).returncode:
    if daemon.poll() is not None or time.monotonic() - begin > 30:
        break
    time.sleep(0.005)
else:
    print(time.monotonic() - begin, daemon.pid, flush=True)
    sys.stdin.read()
daemon.terminate()
daemon.wait()
"""


class Daemon:
    """A mesh's daemon that was started by hand: runs until it is ended."""

    def __init__(self, machine, argv, answers):
        machine.write(f"{FOLDER}/join.py", JOIN)
        self.machine = machine
        self._process = machine.start(["python3", "-I", f"{FOLDER}/join.py", answers, *argv], stdin=PIPE, stdout=PIPE, text=True)

    def joined(self):
        """Seconds from its start until that address answered, and its process; waits for that."""
        words = self._process.stdout.readline().split()
        if len(words) != 2:
            raise LabError(f"{self.machine.name}: the daemon that was started by hand does not join")
        return float(words[0]), int(words[1])

    def close(self):
        """Stops it."""
        self._process.stdin.close()
        self._process.wait(timeout=20)


def joined_by_agent(machine, unit):
    """Seconds from the start of a mesh's daemon until the agent said that it has joined, at its last start."""
    shown = machine.run(["systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--value", unit]).out
    lines = machine.journal("e3-agent", "--boot", "--output=json", "--output-fields=MESSAGE").splitlines()
    said = [int(line["__MONOTONIC_TIMESTAMP"]) for line in map(json.loads, lines) if line["MESSAGE"] == "in the mesh"]
    if not said or said[-1] < int(shown):
        raise Violated(f"{machine.name} has not joined since its daemon started")
    return (said[-1] - int(shown)) / 1e6


def memory_of_unit(machine, unit):
    """The same of all processes of a unit together."""
    group = machine.run(["systemctl", "show", "--property=ControlGroup", "--value", unit]).out.strip()
    pids = machine.read(f"/sys/fs/cgroup{group}/cgroup.procs").split()
    return sum(memory(machine, pid) for pid in pids)


def settle(machine, unit):
    """Waits until a unit has nothing more to do: an agent that has just been started prepares Python for later."""
    looks = []

    def is_idle():
        looks.append(int(machine.run(["systemctl", "show", "--property=CPUUsageNSec", "--value", unit]).out))
        return len(looks) > IDLE_LOOKS and looks[-1] - looks[-1 - IDLE_LOOKS] < IDLE_NS

    until(is_idle, SETTLE_SECONDS, lambda: f"{unit} of {machine.name} does not come to rest")


def memory(machine, pid):
    """Resident memory of a process, in KiB."""
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", machine.read(f"/proc/{pid}/status"), re.M)[1])


def round_trip(machine, address):
    """The median of some pings, in milliseconds."""
    said = machine.run(["ping", "-n", "-c", str(PINGS), "-i", str(PING_SECONDS), "-W", "2", address], check=False).out
    times = [float(found) for found in re.findall(r"time=([\d.]+)", said)]
    if len(times) < PINGS / 2:
        raise Violated(f"{machine.name} hears {len(times)} of {PINGS} answers from {address}")
    return statistics.median(times)


def prepare(machines, mpyc):
    """Puts MPyC and the programs on machines."""
    sources = {path.relative_to(mpyc): path.read_text(encoding="utf-8") for path in Path(mpyc).rglob("*.py")}
    programs = {"program": PROGRAM.format(rounds=ROUNDS, many=MANY, compared=COMPARED),
                "volume": VOLUME.format(blocks=BLOCKS, block=BLOCK)}

    def put(machine):
        for path, source in sources.items():
            machine.write(f"{MPYC}/{path}", source)
        machine.run(["python3", "-m", "compileall", "-q", MPYC])
        for name, program in programs.items():
            machine.write(f"{FOLDER}/{name}.py", program)

    with ThreadPoolExecutor(len(machines)) as pool:
        list(pool.map(put, machines))


def mpyc(machines, addresses):
    """Seconds of the programs: all of the first, from its first start to its last end; its rounds; and the volume of the second."""
    wall, said = started("program", machines, addresses)
    rounds = said.pop("rounds_s")
    if said != RESULT:
        raise LabError(f"the program computes {said} and not {RESULT}")
    return {"wall_s": wall, "rounds_s": rounds, **started("volume", machines, addresses)[1]}


def started(name, machines, addresses):
    """Starts a program on all machines at once, without E3, its parties at these addresses; how long it took, and what party 0 said."""
    parties = [option for place, address in enumerate(addresses) for option in ("-P", f"{address}:{BASE_PORT + place}")]

    def start(place):
        argv = ["env", f"PYTHONPATH={MPYC}", "python3", f"{FOLDER}/{name}.py", "--no-log", *parties, "-I", str(place)]
        return machines[place].run(argv).out

    with ThreadPoolExecutor(len(machines)) as pool:
        begin = time.monotonic()
        printed = list(pool.map(start, range(len(machines))))
        wall = time.monotonic() - begin
    return wall, json.loads(printed[0].splitlines()[-1])


def renumber(machine, old, new, gateway):
    """Gives a machine's cable another address, as a DHCP server of another network would; returns when (seconds since 1970)."""
    batch = [f"address delete {old}/24 dev eth0", f"address add {new}/24 dev eth0", f"route replace default via {gateway}"]
    machine.run(["ip", "-batch", "-"], text="\n".join(batch) + "\n")
    return time.time()


class Silence:
    """How long nobody answered: pings an address until it is left, twenty times a second."""

    def __init__(self, machine, address):
        self._process = machine.start(["ping", "-n", "-D", "-O", "-i", str(PING_SECONDS), address], stdout=PIPE, text=True)
        self._answers = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self):
        for line in self._process.stdout:
            found = re.match(r"\[([\d.]+)\] .*time=", line)
            if found:
                self._answers.append(float(found[1]))

    def answers_since(self, moment):
        """Whether there was an answer after this (seconds since 1970)."""
        return bool(self._answers) and self._answers[-1] > moment

    def longest(self):
        """Ends it; the longest time without an answer, in seconds."""
        self._process.terminate()
        self._process.wait(timeout=10)
        self._reading.join(timeout=10)
        return max(later - earlier for earlier, later in zip(self._answers, self._answers[1:]))
