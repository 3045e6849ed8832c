"""The built-in mesh carries what a session needs and nothing else. For a program that is started by hand this has it carry that
program's ports, by the same request on its socket that the agent makes for a session."""

import json

from ..cells import Violated

CONFIG = "/run/e3party/mesh-link/config.json"
# A line to a socket, and the one that comes back.
ASK = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as link:
    link.connect(sys.argv[1])
    link.sendall(sys.stdin.read().encode() + b"\\n")
    print(link.makefile().readline(), end="")
"""


def ask(machine, control, request):
    """What `e3-link` answers."""
    return json.loads(machine.run(["python3", "-I", "-c", ASK, control], text=json.dumps(request)).out)


def carry(machines, addresses, port):
    """Has the party at each place reach the others', each of which listens at `port` and its place."""
    for place, machine in enumerate(machines):
        config = json.loads(machine.read(CONFIG))
        config["generation"] = ask(machine, config["control"], "status")["status"]["generation"] + 1
        for peer in config["peers"]:
            if peer["local"] in addresses:
                peer.setdefault("reach", []).append({"port": port + addresses.index(peer["local"])})
                peer.setdefault("serve", []).append({"port": port + place})
        answer = ask(machine, config["control"], {"apply": config})
        if "reloaded" not in answer:
            raise Violated(f"{machine.name} carries no program: {answer}")


def round_trip(machine, address):
    """How long a packet takes there and back, in milliseconds, as `e3-link` sees it."""
    config = json.loads(machine.read(CONFIG))
    status = ask(machine, config["control"], "status")["status"]
    [peer] = [peer["id"] for peer in config["peers"] if peer["local"] == address]
    [found] = [found["rtt_us"] for found in status["peers"] if found["id"] == peer]
    if found is None:
        raise Violated(f"{machine.name} does not know how far {address} is")
    return found / 1000
