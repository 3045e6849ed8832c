"""How it was done before E3, to compare with: the program copied by `prsync` (Debian calls it parallel-rsync), then `pssh` of a script that looks up its
machine in a list of hosts and starts MPyC as root. And the program alone, started everywhere at the same instant.

The machine `desk` is where the commands are typed; the others, in order, are the parties.
"""

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# MPyC's own default.
BASE_PORT = 11365
MPYC = "/opt/mpyc"
FOLDER = "/root/run"
# Each machine finds its place by its own name in the list of hosts, as the old scripts did by address.
PRUN = f"""\
#!/bin/sh
set -eu
cd {FOLDER}
index=$(($(grep -nx "$(hostname)" hosts | cut -d: -f1) - 1))
parties=$(sed 's/$/:{BASE_PORT}/; s/^/-P /' hosts | tr '\\n' ' ')
PYTHONPATH={MPYC} exec python3 program.py $parties -I "$index"
"""


class ByHand:
    """Machines that are prepared for it: sshd, keys, MPyC."""

    def __init__(self, lab, desk, parties, mpyc):
        self.lab = lab
        self.desk = lab[desk]
        self.parties = [lab[name] for name in parties]
        self._prepare(Path(mpyc))

    def _prepare(self, mpyc):
        self.desk.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519"])
        key = self.desk.read("/root/.ssh/id_ed25519.pub")
        self.desk.write("/root/.ssh/config", "StrictHostKeyChecking accept-new\nLogLevel ERROR\n", mode="0600")
        self.desk.write(f"{FOLDER}/hosts", "".join(f"{party.name}\n" for party in self.parties))
        self.desk.write(f"{FOLDER}/prun.sh", PRUN, mode="0755")

        def ready(party):
            party.write("/root/.ssh/authorized_keys", key, mode="0600")
            party.run(["sh", "-c", "ssh-keygen -A && systemctl start ssh"])
            for source in mpyc.rglob("*.py"):
                party.write(f"{MPYC}/{source.relative_to(mpyc)}", source.read_text(encoding="utf-8"))
            # Compiled beforehand, as after the first run.
            party.run(["python3", "-m", "compileall", "-q", MPYC])

        with ThreadPoolExecutor() as pool:
            list(pool.map(ready, self.parties))
        # The first connections note the host keys.
        self._pssh("true")

    def run(self, program):
        """Copies and starts `program` as before E3; returns seconds from the command to the result, and what was printed."""
        self.desk.write(f"{FOLDER}/program.py", program)
        begin = time.monotonic()
        self.desk.run(["parallel-rsync", "-h", f"{FOLDER}/hosts", "-l", "root", "-r", f"{FOLDER}/", FOLDER])
        out = self._pssh(f"{FOLDER}/prun.sh")
        return time.monotonic() - begin, out

    def _pssh(self, command):
        return self.desk.run(["parallel-ssh", "-h", f"{FOLDER}/hosts", "-l", "root", "-t", "60", "-i", command]).out

    def alone(self, program):
        """Starts `program` everywhere at the same instant, without ssh and without E3; returns seconds, and what was printed."""
        hosts = [option for party in self.parties for option in ("-P", f"{party.name}:{BASE_PORT}")]

        def start(place):
            argv = ["python3", f"{FOLDER}/program.py", *hosts, "-I", str(place)]
            command = f"PYTHONPATH={MPYC} exec {shlex.join(argv)}"
            return self.parties[place].run(["sh", "-c", command]).out

        for party in self.parties:
            party.write(f"{FOLDER}/program.py", program)
        with ThreadPoolExecutor(len(self.parties)) as pool:
            begin = time.monotonic()
            out = list(pool.map(start, range(len(self.parties))))
            return time.monotonic() - begin, "".join(out)
