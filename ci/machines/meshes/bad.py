"""What a mesh gets that it cannot work with, one after the other on the same machines. Each time the machine says a typed reason in
time, its daemon is not started faster than the back-off allows, a fleet that leaves the mesh leaves nothing of it behind, and
when the cause is gone the machine is back by itself."""

import time
from contextlib import contextmanager
from functools import partial
from subprocess import PIPE

from ..cells import Violated
from ..failure import LabError
from ..fleet import PORT as HUB_PORT
from ..fleet import until
from ..plan import HUB
from .cases import join, nothing_left
from .rig import ANCHOR, PARTIES, PORTS
from .strangers import AGENT_PORT

PORT = PORTS["nebula"]
VICTIM = "p1"
# For a reason: an agent has its daemon 10 seconds of silence, of which the last probe may take three.
REASON_SECONDS = 20
# How long it is watched then, and how often its daemon may be started in that time: pauses of 0.5, 1, 2, 4 … seconds, each a quarter
# shorter at most.
WATCH_SECONDS = 6
STARTS = 5
# What journald calls the start of a unit (systemd.journal-fields, SD_MESSAGE_UNIT_STARTING).
STARTING = "MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5"
# Connects whoever comes to another agent, who is a party of the same fleet, and another one.
IMPOSTOR = """\
import asyncio, sys

async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()

async def met(reader, writer):
    there = await asyncio.open_connection(sys.argv[1], sys.argv[2])
    await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer), return_exceptions=True)

async def main():
    server = await asyncio.start_server(met, "::", int(sys.argv[2]))
    print("ready", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
# Takes the anchor's port for UDP.
HOLDER = """\
import socket, sys
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.bind(("::", int(sys.argv[1])))
print("ready", flush=True)
sys.stdin.read()
"""
# Where packets get lost, and nobody is told.
HOLE = """
table inet hole {{
  chain out {{ type filter hook output priority 0; {what} drop; }}
  chain in {{ type filter hook input priority 0; {what} drop; }}
}}
"""


@contextmanager
def told(machine, script, *args):
    """Has a machine run a program of ours until the end of the block."""
    machine.write("/var/tmp/told.py", script)
    with machine.start(["python3", "-I", "/var/tmp/told.py", *args], stdin=PIPE, stdout=PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            raise LabError(f"{machine.name} does not run {script}")
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=10)


@contextmanager
def stopped(rig, name):
    """The agent of a machine and its mesh's daemon are stopped when the block begins, and the agent starts in it."""
    rig.lab[name].run(["systemctl", "stop", "e3-agent", rig.unit])
    try:
        yield
    finally:
        rig.lab[name].run(["systemctl", "start", "e3-agent"])


@contextmanager
def no_tun(rig):
    """A machine without a TUN device."""
    machine = rig.lab[VICTIM]
    machine.run(["umount", "--lazy", "/dev/net/tun"])
    machine.run(["rm", "/dev/net/tun"])
    machine.run(["systemctl", "kill", "--signal=KILL", rig.unit])
    yield VICTIM, "unable"
    machine.run(["mknod", "--mode=666", "/dev/net/tun", "c", "10", "200"])


@contextmanager
def port_taken(rig):
    """The anchor's port is somebody else's."""
    with stopped(rig, ANCHOR):
        holding = told(rig.lab[ANCHOR], HOLDER, str(PORT))
        holding.__enter__()
    try:
        yield ANCHOR, "unable"
    finally:
        holding.__exit__(None, None, None)


@contextmanager
def hub_unreachable(rig):
    """The hub cannot be asked for the certificate of a machine that has a new key."""
    with stopped(rig, VICTIM):
        rig.lab[VICTIM].run(["rm", "-r", f"/var/lib/e3/mesh/{rig.backend}"])
        rig.lab[VICTIM].run(["nft", "-f", "-"], text=HOLE.format(what=f"ip daddr {HUB} tcp dport {HUB_PORT}"))
    yield VICTIM, "hub"
    rig.lab[VICTIM].run(["nft", "delete", "table", "inet", "hole"])


@contextmanager
def wrong_identity(rig):
    """At the anchor's address in the mesh answers another party of the fleet, which proves that it is itself."""
    anchor = rig.lab[ANCHOR]
    anchor.run(["systemctl", "stop", "e3-agent"])
    other = rig.lab.network.node(PARTIES[0]).address
    with told(anchor, IMPOSTOR, other, str(AGENT_PORT)):
        rig.lab[VICTIM].run(["systemctl", "restart", "e3-agent"])
        yield VICTIM, "nobody-answers"
    anchor.run(["systemctl", "start", "e3-agent"])


@contextmanager
def duplicate_address(rig):
    """The mesh's address, and its network with it, is at another cable of the machine already."""
    machine = rig.lab[VICTIM]
    here = f"{rig.mesh(VICTIM)['addresses'][0]}/64"
    with stopped(rig, VICTIM):
        machine.run(["ip", "address", "add", here, "dev", "eth0"])
    yield VICTIM, "nobody-answers"
    machine.run(["ip", "address", "delete", here, "dev", "eth0"])


@contextmanager
def dns_broken(rig):
    """The anchor has a name, and the machine's name server does not answer."""
    names = "anchor.lab"
    line = f"{rig.lab.network.node(ANCHOR).address} {names}"
    for name in (*PARTIES, ANCHOR):
        rig.lab[name].write("/etc/resolv.conf", "nameserver 10.53.0.250\n")
        if name != VICTIM:
            rig.lab[name].run(["sh", "-c", 'echo "$1" >>/etc/hosts', "sh", line])
    rig.choose(f"{names}:{PORT}")
    yield VICTIM, "nobody-answers"
    rig.lab[VICTIM].run(["sh", "-c", 'echo "$1" >>/etc/hosts', "sh", line])


def tried(rig, bad):
    """One of them."""
    with bad(rig) as (name, kind):
        begin = time.monotonic()
        rig.waits_for(name, kind, REASON_SECONDS)
        took = time.monotonic() - begin
        starts = watched(rig, name, kind)
        if kind != "hub":
            leave(rig, name)
    if kind == "hub":
        rig.waits_for(name, "needs-approval")
        leave(rig, name)
    rig.choose()
    rig.joined()
    return f"{kind} after {took:.1f} s, {starts} more starts in {WATCH_SECONDS} s"


def watched(rig, name, kind):
    """It says so for a while, and its daemon is started now and then; returns how often."""
    machine, end = rig.lab[name], time.monotonic() + WATCH_SECONDS

    def starts():
        return machine.journal(rig.unit, "--output=json", STARTING).count("\n")

    before, said = starts(), set()
    # How often something happens shows in time only.
    until(lambda: said.add(rig.mesh(name).get("reason", {}).get("kind")) or time.monotonic() > end, WATCH_SECONDS + 5, lambda: "")
    if said - {kind, "joining", "daemon-died"}:
        raise Violated(f"it changes its mind: {said}")
    more = starts() - before
    if more > STARTS:
        raise Violated(f"its daemon was started {more} times in {WATCH_SECONDS} s")
    return more


def leave(rig, name):
    """The fleet leaves the mesh while the machine is in trouble with it."""
    rig.fleet.e3("mesh", "off")
    rig.waits_for(name, "none")
    nothing_left(rig, name)


def new_authority(rig):
    """The owner has lost the certificate authority and made a new one: everybody's certificate is of another one than the head names.
    Nobody is let in by them, and `e3 mesh sign` gives everybody a new one."""
    folder = rig.fleet.folder / "demo/mesh" / rig.backend
    old = folder.with_name("old")
    folder.rename(old)
    rig.choose()
    for name in (*PARTIES, ANCHOR):
        rig.waits_for(name, "needs-approval", REASON_SECONDS)
    signed = rig.sign()
    if set(signed) != {*PARTIES, ANCHOR}:
        raise Violated(f"new certificates for {signed}, not for all")
    took = rig.joined()
    # The other way round: one that the head does not name signs nothing.
    folder.rename(folder.with_name("new"))
    old.rename(folder)
    done = rig.fleet.e3("mesh", "sign", check=False)
    folder.rename(old)
    folder.with_name("new").rename(folder)
    if not done.status or "another certificate authority" not in done.err:
        raise Violated(f"an authority that the head does not name signs: {done.out} {done.err}")
    rig.must_be_good(rig.session())
    return f"needs-approval; joined {took:.1f} s after new ones were signed"


def mtu_black_hole(rig):
    """Large packets get lost on the way, and nobody is told: small ones pass, so the mesh is joined, and a session says in time who
    cannot be heard."""
    machine = rig.lab[VICTIM]
    machine.run(["nft", "-f", "-"], text=HOLE.format(what=f"ip saddr != {HUB} ip daddr != {HUB} meta length > 1000"))
    verdict = rig.verdict(rig.session())
    machine.run(["nft", "delete", "table", "inet", "hole"])
    if verdict != "good" and verdict[0][1] != PARTIES.index(VICTIM):
        raise Violated(f"the others do not name {VICTIM}: {verdict}")
    rig.must_be_good(rig.session())
    return "good" if verdict == "good" else f"{verdict[0][0]} names it"


def cases_of(contexts):
    """Cases as the table has them."""
    found = []
    for context in contexts:
        case = partial(tried, bad=context)
        case.__name__ = context.__name__
        found.append(case)
    return tuple(found)


# By backend; joining is not one of them, but comes first.
CASES = {
    "nebula": (join, *cases_of((no_tun, port_taken, hub_unreachable, wrong_identity, duplicate_address, dns_broken)), mtu_black_hole,
               new_authority),
}
