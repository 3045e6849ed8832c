"""A fleet with a mesh: parties p0, p1 and p2, and p3, which all can reach and which takes part in no session."""

import json
import os
import time
from pathlib import Path

from ..cells import Violated, outcome
from ..fleet import Fleet, need_binary, progress, until
from ..network import sysctl
from ..plan import HUB

JOIN_SECONDS = 30
# What the agents' own deadlines add when something fails.
VERDICT_SECONDS = 150
PREFLIGHT_SECONDS = 20
# For a reason: an agent has its daemon 10 seconds of silence, of which the last probe may take three.
REASON_SECONDS = 20
# Until all are back: a hub makes two keys a minute for a machine that has had five, and a machine waits half a minute then.
BACK_SECONDS = 90
# Where the anchor listens: it may be in two meshes.
PORTS = {"link": 4243, "nebula": 4242, "wireguard": 51820, "openvpn": 1194, "tinc": 10655}
# Where UDP is blocked. OpenVPN speaks TCP where it is reached on the port of web servers.
TCP_PORTS = {"openvpn": 443}
PARTIES = ("p0", "p1", "p2")
ANCHOR = "p3"
SUM = """\
import time
from mpyc.runtime import mpc

async def main():
    secint = mpc.SecInt(64)
    if mpc.pid == 0:
        time.sleep({late})
    await mpc.start()
    end = time.monotonic() + {seconds}
    # Party 0's clock decides for all of them when it is enough.
    while await mpc.transfer(time.monotonic() < end, senders=0):
        total = await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))
    print("sum", int(total))
    await mpc.shutdown()

mpc.run(main())
"""


class Rig:
    """The fleet and its mesh."""

    join_seconds = JOIN_SECONDS
    preflight_seconds = PREFLIGHT_SECONDS
    reason_seconds = REASON_SECONDS
    back_seconds = BACK_SECONDS

    def __init__(self, lab, backend, has_udp=True):
        self.lab = lab
        self.goes_to(backend, has_udp)
        self.fleet = Fleet(lab, need_binary())
        self._count = 0
        # Where `e3 eval` puts what it finds, if it is to be kept.
        self.report = None

    def goes_to(self, backend, has_udp=True):
        """From now on it is about this mesh."""
        self.backend = backend
        # Of the anchor.
        self.port = PORTS.get(backend) if has_udp else {**PORTS, **TCP_PORTS}.get(backend)
        self.unit = f"e3-mesh-{backend}.service"

    def place(self):
        """Where the parties are, for reports."""
        regions = self.lab.network.regions
        nodes = [self.lab.network.node(name) for name in PARTIES]
        return " ".join(regions.get(node.name) or regions[node.switch] for node in nodes) if regions else "here"

    def start(self):
        """Makes the fleet, without a mesh."""
        if self.backend == "link":
            self.fleet.hub_options = ["--relay", f"--relay-program={os.environ['E3_LINK']}"]
        self.begin()

    def begin(self):
        """Starts fleet and machines, with what the owner has said by now."""
        self.fleet.start()
        # Of the last one, party 0 lets whoever comes first have two seconds.
        for name, seconds, late in (("quick.py", 0.05, 0), ("slow.py", 8, 0), ("late.py", 0.05, 2)):
            (self.fleet.folder / name).write_text(SUM.format(seconds=seconds, late=late))

    def choose(self, endpoint=None):
        """Has the fleet choose the mesh, with the anchor at its machine's address, or where it is said to be."""
        if self.backend == "wireguard":
            # What its owner does where the kernel cannot do it for one device, or, as in a container, nobody but the host may.
            sysctl(self.lab.holder, ANCHOR, "net/ipv6/conf/all/forwarding", 1)
        if self.backend == "link":
            # By the relay beside the hub, which is the default.
            return self.fleet.e3("mesh", "link", *(["--anchor", f"{ANCHOR}={endpoint}"] if endpoint else []))
        return self.fleet.e3("mesh", self.backend, "--anchor", f"{ANCHOR}={endpoint}" if endpoint else self.anchor(ANCHOR))

    def anchor(self, name):
        """A machine as an anchor, at its address."""
        return f"{name}={self.lab.network.node(name).address}:{self.port}"

    def choose_by_name(self, name):
        """The same, with a name for what the machines have to reach."""
        if self.backend == "link":
            return self.fleet.e3("mesh", "link", "--relay", f"https://{name}")
        return self.choose(f"{name}:{self.port}")

    def far(self):
        """The address of what the machines have to reach."""
        return HUB if self.backend == "link" else self.lab.network.node(ANCHOR).address

    def not_the_hub(self):
        """What packets are not to or from the hub, for nftables. The mesh has nothing there but what it could do without."""
        return f"ip saddr != {HUB} ip daddr != {HUB}"

    def has_anchor(self):
        """Whether machines ask an anchor whether they have joined, and nobody else."""
        return self.backend != "link"

    def is_controlled(self):
        """Whether a server lets machines in, and no signature of the owner's."""
        return False

    def keys(self):
        """Where a machine keeps what lets it in."""
        return [f"/var/lib/e3/mesh/{self.backend}"]

    def relay(self):
        """The process of the relay beside the hub, if it runs."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                is_relay = b"--attached" in path.read_bytes().split(b"\0")
            except OSError:
                continue
            pid = int(path.parent.name)
            if is_relay and self.fleet.is_hubs(pid):
                return pid
        return None

    def sign(self, *more):
        """Signs whatever certificates are asked for; returns for whom."""
        return json.loads(self.fleet.e3("mesh", "sign", "--json", *more).out.splitlines()[-1])["signed"]

    def address(self, name):
        """Where the others reach this party: its mesh address, or its machine's without a mesh."""
        host, _ = self.fleet.status()[name]["presence"]["addresses"][0].rsplit(":", 1)
        return host.strip("[]")

    def mesh(self, name):
        """What a machine says of the mesh."""
        try:
            return self.meshes(name).get(self.backend, {"state": "none"})
        except ValueError:
            return {"state": "no answer"}

    def meshes(self, name):
        """What a machine says of all its meshes, by backend."""
        answer = self.lab[name].run(["e3-agent", "status", "--json"], check=False)
        return json.loads(answer.out).get("meshes", {})

    def ways(self, name):
        """How a machine says that its packets get to the others: by their names."""
        status = json.loads(self.lab[name].run(["e3-agent", "status", "--json"]).out)
        return {way.get("name"): way for way in status.get("ways", {}).get(self.backend, [])}

    def waits_for(self, name, kind, seconds=None):
        """Waits until a machine is `joined`, or is not for this reason."""
        seconds = seconds or self.join_seconds

        def is_so():
            mesh = self.mesh(name)
            return kind in (mesh["state"], mesh.get("reason", {}).get("kind"))

        until(is_so, seconds, lambda: f"{name} is not {kind} after {seconds} s but {self.mesh(name)}; {self.fleet.agent_log(name)[-600:]}")

    def joined(self, names=(*PARTIES, ANCHOR), seconds=None, sign=()):
        """Signs for whoever asks until all of these have joined; returns how long that took."""
        seconds = seconds or self.join_seconds
        begin = time.monotonic()
        missing = list(names)
        while missing:
            self.sign(*sign)
            missing = [name for name in missing if self.mesh(name)["state"] != "joined"]
            if missing and time.monotonic() - begin > seconds:
                raise Violated(f"not joined after {seconds} s: " + "; ".join(f"{name}: {self.mesh(name)}" for name in missing)
                               + self.fleet.agent_log(missing[0])[-600:])
        return time.monotonic() - begin

    def session(self, program="quick.py", parties=PARTIES, top=""):
        """Starts a session among these parties; returns its name."""
        self._count += 1
        name = f"cell-{self._count}"
        self.fleet.sign(name, program, parties=parties, inputs=(), top=top, preflight=self.preflight_seconds)
        self.fleet.push(name)
        return name

    def verdict(self, name, parties=PARTIES):
        """`good`, or the reasons of all parties with whom they blame."""
        said = outcome(parties, self.fleet.verdict(name, VERDICT_SECONDS), VERDICT_SECONDS)
        if said == "good":
            printed = self.lab[parties[0]].run(["e3-agent", "result", name]).out.strip()
            if printed != f"sum {sum(range(1, len(parties) + 1))}":
                raise Violated(f"wrong result: {printed}")
        return said

    def must_be_good(self, name, parties=PARTIES):
        """The session's parties have all computed the right sum."""
        verdict = self.verdict(name, parties)
        if verdict != "good":
            raise Violated(f"the session failed: {verdict}")

    def runs(self, name, parties=PARTIES):
        """Waits until a session runs on all of its parties."""
        def states():
            return [progress(self.lab[party], name) for party in parties]

        until(lambda: set(states()) == {"running"}, self.join_seconds, lambda: f"{name} does not run: {states()}")
