"""What goes wrong with a mesh, whatever daemon it has: each goes wrong when its block begins, is told to whom it happens, and is
over when the block ends."""

import re
from contextlib import contextmanager
from subprocess import PIPE

from ..failure import LabError
from ..fleet import PORT as HUB_PORT
from ..plan import HUB
from .headscale import NAME
from .rig import ANCHOR, PARTIES
from .strangers import AGENT_PORT

VICTIM = "p1"
# Where the built-in mesh stands for other machines' agents.
LINK_PORT = 7331
# Where nobody is.
NAME_SERVER = "10.53.0.250"
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
# Takes a port, for UDP and TCP.
HOLDER = """\
import socket, sys
held = [socket.socket(socket.AF_INET6, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
# Connections that are over.
held[1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
for one in held:
    one.bind(("::", int(sys.argv[1])))
held[1].listen()
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

# Who calls an agent, whose ever, calls this machine's.
MIRROR = """
table inet mirror {{
  chain out {{ type nat hook output priority -100; tcp dport {{ {ports} }} redirect to :{to}; }}
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
    """The agent of a machine and its mesh's daemon are stopped when the block begins, and the agent starts when it ends."""
    rig.lab[name].run(["systemctl", "stop", "e3-agent", rig.unit])
    try:
        yield rig.lab[name]
    finally:
        rig.lab[name].run(["systemctl", "start", "e3-agent"])


@contextmanager
def hole(machine, what):
    """Packets of this kind vanish."""
    machine.run(["nft", "-f", "-"], text=HOLE.format(what=what))
    try:
        yield
    finally:
        machine.run(["nft", "delete", "table", "inet", "hole"])


@contextmanager
def no_tun(rig):
    """A machine without a TUN device."""
    machine = rig.lab[VICTIM]
    machine.run(["umount", "--lazy", "/dev/net/tun"])
    machine.run(["rm", "/dev/net/tun"])
    machine.run(["systemctl", "kill", "--signal=KILL", rig.unit])
    try:
        yield VICTIM
    finally:
        machine.run(["mknod", "--mode=666", "/dev/net/tun", "c", "10", "200"])


@contextmanager
def port_taken(rig):
    """The anchor's port is somebody else's."""
    if rig.backend == "link":
        with told(rig.lab[ANCHOR], HOLDER, str(rig.port)):
            rig.choose(f"{rig.lab.network.node(ANCHOR).address}:{rig.port}")
            yield ANCHOR
        return
    with stopped(rig, ANCHOR) as machine:
        holding = told(machine, HOLDER, str(rig.port))
        holding.__enter__()
    try:
        yield ANCHOR
    finally:
        holding.__exit__(None, None, None)


def own_port(machine):
    """Where wireguard-go is heard."""
    (port,) = set(re.findall(r":(\d+) .*wireguard-go", machine.run(["ss", "-Huanp"]).out))
    return port


@contextmanager
def own_port_taken(rig):
    """The port where the built-in mesh stands for other machines' agents is a program's of this machine; or the one where a member's
    daemon is heard, which may be any."""
    port = own_port(rig.lab[VICTIM]) if rig.backend == "wireguard" else LINK_PORT
    with stopped(rig, VICTIM) as machine:
        holding = told(machine, HOLDER, str(port))
        holding.__enter__()
    try:
        yield VICTIM
    finally:
        holding.__exit__(None, None, None)


@contextmanager
def no_program(rig):
    """What the mesh's unit starts is not there."""
    machine = rig.lab[VICTIM]
    machine.run(["mv", "/usr/bin/tor", "/usr/bin/tor.away"])
    try:
        machine.run(["systemctl", "kill", "--signal=KILL", rig.unit])
        yield VICTIM
    finally:
        machine.run(["mv", "/usr/bin/tor.away", "/usr/bin/tor"])


@contextmanager
def hub_unreachable(rig):
    """The hub cannot be asked by a machine that has a new key, or none."""
    with stopped(rig, VICTIM) as machine:
        machine.run(["rm", "-r", *rig.keys()])
        holding = hole(machine, f"ip daddr {HUB} tcp dport {HUB_PORT}")
        holding.__enter__()
    try:
        yield VICTIM
    finally:
        holding.__exit__(None, None, None)


@contextmanager
def wrong_identity(rig):
    """Where others should be in the mesh answers another party of the fleet, which proves that it is itself: at the anchor's
    address party 0; and where everybody is asked, at all addresses the machine that asks, whose own words come back."""
    if rig.has_anchor():
        anchor, other = rig.lab[ANCHOR], rig.lab.network.node(PARTIES[0]).address
        anchor.run(["systemctl", "stop", "e3-agent"])
        with told(anchor, IMPOSTOR, other, str(AGENT_PORT)):
            rig.lab[VICTIM].run(["systemctl", "restart", "e3-agent"])
            yield VICTIM
        anchor.run(["systemctl", "start", "e3-agent"])
        return
    machine = rig.lab[VICTIM]
    machine.run(["nft", "-f", "-"], text=MIRROR.format(ports=f"{AGENT_PORT}, {LINK_PORT}", to=AGENT_PORT))
    try:
        machine.run(["systemctl", "restart", "e3-agent"])
        yield VICTIM
    finally:
        machine.run(["nft", "delete", "table", "inet", "mirror"])


@contextmanager
def duplicate_address(rig):
    """The mesh's address, and its network with it, is at another cable of the machine already."""
    address = rig.mesh(VICTIM)["addresses"][0]
    here = f"{address}/{64 if ':' in address else 10}"
    with stopped(rig, VICTIM) as machine:
        machine.run(["ip", "address", "add", here, "dev", "eth0"])
    try:
        yield VICTIM
    finally:
        machine.run(["ip", "address", "delete", here, "dev", "eth0"])


@contextmanager
def dns_broken(rig):
    """The anchor, the relay or the control server has a name, and the machine's name server does not answer."""
    line = f"{rig.far()} {NAME}"
    for name in (*PARTIES, ANCHOR):
        rig.lab[name].write("/etc/resolv.conf", f"nameserver {NAME_SERVER}\n")
        if name != VICTIM:
            rig.lab[name].run(["sh", "-c", 'echo "$1" >>/etc/hosts', "sh", line])
    rig.choose_by_name(NAME)
    yield VICTIM
    rig.lab[VICTIM].run(["sh", "-c", 'echo "$1" >>/etc/hosts', "sh", line])
