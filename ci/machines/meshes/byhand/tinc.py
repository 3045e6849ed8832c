"""tinc by hand: a key for each machine, and a folder with everybody's public one."""

from ..measure import FOLDER
from .base import PORT, ByHand

HERE = f"{FOLDER}/tinc"
COMMON = f"""\
Mode = router
Interface = byhand
StrictSubnets = yes
Cipher = aes-256-cbc
Digest = sha256
MACLength = 32
Port = {PORT}
"""
# What a person writes into tinc-up, once by hand.
RUN = """\
ip link delete dev byhand 2>/dev/null
ip tuntap add dev byhand mode tun
ip address add "$2" dev byhand nodad
ip link set dev byhand mtu 1300 up
exec tincd --config="$1" --pidfile=/run/by-hand-tinc.pid --no-detach
"""


class Tinc(ByHand):
    """All machines connect to the anchor, and find the others by themselves."""

    def __init__(self, rig):
        super().__init__(rig)
        hosts = {}
        for name in self.machines:
            machine = rig.lab[name]
            connect = "" if name == self.anchor else f"ConnectTo = {self.anchor}\n"
            machine.write(f"{HERE}/tinc.conf", f"{COMMON}Name = {name}\n{connect}")
            machine.run(["mkdir", f"{HERE}/hosts"])
            # It would ask for names of files; without an input it takes those that it proposes.
            machine.run(["tincd", f"--config={HERE}", "--generate-keys=2048"], text="")
            where = f"Address = {self.at} {PORT}\n" if name == self.anchor else ""
            hosts[name] = f"Subnet = {self.address(name)}/128\n{where}" + machine.read(f"{HERE}/hosts/{name}")
        for name in self.machines:
            for other, text in hosts.items():
                rig.lab[name].write(f"{HERE}/hosts/{other}", text)

    def argv(self, name):
        """A device, and the daemon."""
        return ["sh", "-c", RUN, "sh", HERE, f"{self.address(name)}/64"]
