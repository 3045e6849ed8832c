"""A Tor network of the laboratory's own, beside the hub: three authorities and two more relays. And what is different with a mesh
that goes by it."""

import os
import secrets
import signal
import subprocess
from pathlib import Path

from .. import plan, rootfs
from ..cells import Violated, is_lost
from ..failure import LabError
from ..fleet import PORT as HUB_PORT
from ..fleet import until
from . import cases
from .rig import ANCHOR, PARTIES, Rig

AUTHORITIES, RELAYS = 3, 5
OR_PORT, DIR_PORT = 5001, 7001
START_SECONDS = 90
# A quick network votes every ten seconds; the public one every hour.
COMMON = """\
TestingTorNetwork 1
"""
RELAY = """\
DataDirectory {folder}
Nickname {name}
Address {address}
ORPort {address}:{orport}
DirPort {address}:{dirport}
ContactInfo lab
SocksPort 0
AssumeReachable 1
ExitRelay 0
Log notice file {folder}/log
"""
AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
TestingV3AuthInitialVotingInterval 10
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 20
V3AuthVoteDelay 3
V3AuthDistDelay 3
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
"""


class Network:
    """Its processes and its files. The programs are those of the machines' own system."""

    def __init__(self, lab):
        self.lab = lab
        self.folder = lab.folder / "tor"
        self.lines = []
        self._processes = []
        root = rootfs.MESHES.path()
        loader = next(root.glob("lib64/ld-linux-*.so.*"), None) or next(root.glob("lib/ld-linux-*.so.*"))
        libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
        self._run = [loader, "--library-path", libraries]
        self._bin = root / "usr/bin"

    def make(self):
        """Keys and settings of everybody."""
        self.folder.mkdir(mode=0o700)
        for number in range(RELAYS):
            folder = self.folder / f"r{number}"
            (folder / "keys").mkdir(parents=True, mode=0o700)
            folder.chmod(0o700)
            settings = COMMON + RELAY.format(folder=folder, name=f"r{number}", address=plan.HUB, orport=OR_PORT + number,
                                             dirport=DIR_PORT + number)
            if number < AUTHORITIES:
                settings += AUTHORITY
                self._certificate(folder / "keys", number)
            (folder / "torrc").write_text(settings)
            # The option is there so that a network of one's own is not mistaken for the public one.
            shown = self._tool("tor", "--quiet", "-f", folder / "torrc", "--DirAuthority", f"x orport=1 v3ident={'0' * 40} 127.0.0.1:1 {'0' * 40}",
                               "--list-fingerprint")
            if number < AUTHORITIES:
                identity = next(line.split()[1] for line in (folder / "keys/authority_certificate").read_text().splitlines()
                                if line.startswith("fingerprint "))
                fingerprint = "".join(shown.split()[1:])
                self.lines.append(f"DirAuthority r{number} orport={OR_PORT + number} no-v2 v3ident={identity} "
                                  f"{plan.HUB}:{DIR_PORT + number} {fingerprint}")
        for number in range(RELAYS):
            with open(self.folder / f"r{number}/torrc", "a") as torrc:
                torrc.write("\n".join(self.lines) + "\n")

    def settings(self):
        """What everybody must know of it who uses it."""
        return COMMON + "\n".join(self.lines) + "\n"

    def _certificate(self, keys, number):
        self._tool("tor-gencert", "--create-identity-key", "--passphrase-fd", "0", "-m", "1", "-a", f"{plan.HUB}:{DIR_PORT + number}",
                   "-i", keys / "authority_identity_key", "-s", keys / "authority_signing_key", "-c", keys / "authority_certificate",
                   text=secrets.token_hex(16) + "\n")

    def _tool(self, name, *args, text=""):
        done = subprocess.run([*self._run, self._bin / name, *args], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"{name}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        return done.stdout

    def on(self):
        """Starts it, and waits until the relays have agreed on who they are."""
        for number in range(RELAYS):
            argv = [*self._run, self._bin / "tor", "--quiet", "-f", self.folder / f"r{number}/torrc"]
            self._processes.append(self.lab.hub.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        def agreed():
            path = self.folder / "r0/cached-microdesc-consensus"
            known = path.read_text().count("\nr ") if path.exists() else 0
            return known == RELAYS or any(process.poll() is not None for process in self._processes)

        until(agreed, START_SECONDS, self.log)
        if any(process.poll() is not None for process in self._processes):
            raise LabError(f"a relay of Tor has ended: {self.log()}")

    def freeze(self):
        """Lets nothing through any more, and forgets nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        """Goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        # What was started is what enters the laboratory; the relay is its child.
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                is_ours = str(self.folder).encode() in path.read_bytes() and b"/usr/bin/tor" in path.read_bytes()
            except OSError:
                continue
            if is_ours:
                os.kill(int(path.parent.name), number)

    def log(self):
        """Its last words."""
        logs = (self.folder / f"r{number}/log" for number in range(RELAYS))
        return "".join(path.read_text(errors="replace")[-400:] for path in logs if path.exists())


class Hidden(Rig):
    """A fleet whose mesh goes by Tor: nobody is an anchor, and everything takes longer."""

    join_seconds = 120
    preflight_seconds = 60
    # It is told after a minute that nobody answers.
    reason_seconds = 90
    back_seconds = 180

    def __init__(self, lab, backend):
        super().__init__(lab, backend)
        self.network = Network(lab)

    def start(self):
        """Makes the fleet, whose machines know the laboratory's network and not the public one."""
        self.network.make()
        self.network.on()
        for name in (*PARTIES, ANCHOR):
            self.lab[name].write("/etc/e3/tor.d/network.conf", self.network.settings())
        super().start()

    def choose(self, endpoint=None):
        """Has the fleet choose it; there is nobody at an endpoint."""
        return self.fleet.e3("mesh", "tor")

    def has_anchor(self):
        """Nobody is one."""
        return False

    def not_the_hub(self):
        """The relays are at the hub's address here."""
        return f"tcp sport != {HUB_PORT} tcp dport != {HUB_PORT}"


def relays_silent(rig):
    """Nothing comes through Tor any more in the middle of a session: it ends on every party with who cannot be heard. When the relays
    go on, so do sessions."""
    name = rig.session("slow.py")
    rig.runs(name)
    rig.network.freeze()
    try:
        verdict = rig.verdict(name)
    finally:
        rig.network.thaw()
    if not is_lost(verdict):
        raise Violated(f"it did not end as it should: {verdict}")
    last = None
    for _ in range(3):
        last = rig.verdict(rig.session())
        if last == "good":
            return f"ended: {verdict[0][0]}; good again"
    raise Violated(f"no session after the relays go on: {last}")


def no_network(rig):
    """A machine that starts while Tor cannot be reached says so, and is back when it can."""
    rig.network.freeze()
    try:
        rig.lab["p0"].run(["systemctl", "kill", "--signal=KILL", rig.unit])
        rig.waits_for("p0", "no-relay")
    finally:
        rig.network.thaw()
    rig.waits_for("p0", "joined")
    rig.must_be_good(rig.session())
    return "told: no-relay; good again"


def hidden(rig):
    """Nobody but the relays is spoken to by Tor, and no machine listens where the network could reach it."""
    near = {f"{plan.HUB}"}
    for name in PARTIES:
        pids = rig.lab[name].run(["systemctl", "show", "--property=ControlGroup", "--value", rig.unit]).out.strip()
        inside = rig.lab[name].read(f"/sys/fs/cgroup{pids}/cgroup.procs").split()
        sockets = rig.lab[name].run(["ss", "-Htunap"]).out.splitlines()
        own = [line.split() for line in sockets if any(f"pid={pid}," in line for pid in inside)]
        listening = [words[4] for words in own if words[1] in ("LISTEN", "UNCONN")]
        if bad := [place for place in listening if not place.startswith("127.")]:
            raise Violated(f"{name} listens at {bad}")
        outside = {words[5].rsplit(":", 1)[0] for words in own if words[1] == "ESTAB" and not words[5].startswith("127.")}
        if not outside or not outside <= near:
            raise Violated(f"{name} speaks to {outside}")
    return "good"


CASES = (
    cases.join, cases.session, hidden, cases.stranger, cases.evaluated, cases.hardened, cases.cable_moved, cases.agent_restarted,
    cases.daemon_killed, cases.restarted, relays_silent, no_network, cases.key_lost, cases.expired, cases.revoked, cases.off,
)
# For `--short`.
QUICK = (cases.join, cases.session, hidden, cases.off)
