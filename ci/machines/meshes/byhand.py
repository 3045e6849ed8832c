"""The same daemons, configured as a person would by their manuals, on the same machines and beside the agent's: what a mesh costs
without E3. A class for each backend; each machine has another address and another port than in the fleet's mesh.

    hand = BACKENDS["nebula"](lab, machines, anchor)   keys and configurations for all, as `argv(name)` wants them
    hand.address(name), hand.argv(name)                its address in the mesh; the command that is its daemon
"""

import json
import subprocess

from .measure import FOLDER

PORT = 4343
PREFIX = "fd99::"


class Nebula:
    """An authority, a certificate for each machine, one lighthouse that relays: as the agent has it rendered, and with 1,300 bytes,
    since sizes of packets decide more than anything else."""

    def __init__(self, lab, machines, anchor):
        self.folder = lab.folder / "by-hand-nebula"
        self.folder.mkdir()
        self.anchor = anchor
        self.machines = list(machines)
        self._cert("ca", "-version", "2", "-name", "by hand", "-networks", f"{PREFIX}/64",
                   "-out-crt", "ca.crt", "-out-key", "ca.key")
        for name in self.machines:
            self._cert("sign", "-version", "2", "-name", name, "-networks", f"{self.address(name)}/64", "-out-crt", f"{name}.crt",
                       "-out-key", f"{name}.key", "-ca-crt", "ca.crt", "-ca-key", "ca.key")
            machine = lab[name]
            for there, here in (("ca.crt", "ca.crt"), ("host.crt", f"{name}.crt"), ("host.key", f"{name}.key")):
                machine.write(f"{FOLDER}/nebula/{there}", (self.folder / here).read_text(), mode="0600")
            at = f"{lab.network.node(anchor).address}:{PORT}"
            machine.write(f"{FOLDER}/nebula/config.yml", json.dumps(self._config(name, at)))

    def _cert(self, *args):
        subprocess.run(["nebula-cert", *args], cwd=self.folder, check=True, capture_output=True)

    def _config(self, name, at):
        is_anchor = name == self.anchor
        anchors = [] if is_anchor else [self.address(self.anchor)]
        anybody = [{"port": "any", "proto": "any", "host": "any"}]
        return {
            "pki": {"ca": f"{FOLDER}/nebula/ca.crt", "cert": f"{FOLDER}/nebula/host.crt", "key": f"{FOLDER}/nebula/host.key"},
            "static_host_map": {} if is_anchor else {self.address(self.anchor): [at]},
            "lighthouse": {"am_lighthouse": is_anchor, "interval": 10, "hosts": anchors},
            "listen": {"host": "::", "port": PORT if is_anchor else 0},
            "punchy": {"punch": True, "respond": True, "delay": "500ms", "respond_delay": "1s"},
            "relay": {"am_relay": is_anchor, "use_relays": True, "relays": anchors},
            "tun": {"dev": "byhand", "mtu": 1300},
            "firewall": {"outbound": anybody, "inbound": anybody},
        }

    def address(self, name):
        """Where it is in the mesh."""
        return f"{PREFIX}{self.machines.index(name) + 1}"

    def argv(self, _name):
        """The daemon."""
        return ["nebula", "-config", f"{FOLDER}/nebula/config.yml"]


class Wireguard:
    """One hub that passes packets on, by the kernel or by wireguard-go, as the agent's unit has it."""

    def __init__(self, lab, machines, anchor):
        self.anchor = anchor
        self.machines = list(machines)
        secrets = {name: lab[name].run(["wg", "genkey"]).out.strip() for name in self.machines}
        publics = {name: lab[name].run(["wg", "pubkey"], text=secret).out.strip() for name, secret in secrets.items()}
        at = f"{lab.network.node(anchor).address}:{PORT}"
        for name, secret in secrets.items():
            config = f"[Interface]\nPrivateKey = {secret}\n"
            if name == anchor:
                config += f"ListenPort = {PORT}\n"
                config += "".join(f"[Peer]\nPublicKey = {publics[other]}\nAllowedIPs = {self.address(other)}/128\n"
                                  for other in self.machines if other != anchor)
            else:
                config += (f"[Peer]\nPublicKey = {publics[anchor]}\nAllowedIPs = {PREFIX}/64\nEndpoint = {at}\n"
                           "PersistentKeepalive = 15\n")
            lab[name].write(f"{FOLDER}/wireguard/config", config, mode="0600")

    def address(self, name):
        """Where it is in the mesh."""
        return f"{PREFIX}{self.machines.index(name) + 1}"

    def argv(self, name):
        """The daemon, or what stands for it where the kernel needs none."""
        return ["sh", "-c", WIREGUARD, "sh", f"{FOLDER}/wireguard/config", f"{self.address(name)}/64"]


WIREGUARD = """\
set_up() {
  wg setconf byhand "$1" && ip address add "$2" dev byhand nodad && ip link set dev byhand mtu 1300 up
}
if ip link add dev byhand type wireguard 2>/dev/null; then
  set_up "$@"
  trap 'ip link delete dev byhand; exit' TERM
  sleep infinity &
  wait
fi
(until wg show byhand >/dev/null 2>&1; do sleep 0.005; done; set_up "$@") &
exec wireguard-go --foreground byhand
"""
BACKENDS = {"nebula": Nebula, "wireguard": Wireguard}
