"""Nebula by hand: an authority, a certificate for each machine, one lighthouse that relays."""

import json
import subprocess

from ..measure import FOLDER
from .base import PORT, PREFIX, ByHand


class Nebula(ByHand):
    """As the agent has it rendered, with 1,300 bytes, too: sizes of packets decide more than anything else."""

    def __init__(self, rig):
        super().__init__(rig)
        lab = rig.lab
        self._cert("ca", "-version", "2", "-name", "by hand", "-networks", f"{PREFIX}/64",
                   "-out-crt", "ca.crt", "-out-key", "ca.key")
        for name in self.machines:
            self._cert("sign", "-version", "2", "-name", name, "-networks", f"{self.address(name)}/64", "-out-crt", f"{name}.crt",
                       "-out-key", f"{name}.key", "-ca-crt", "ca.crt", "-ca-key", "ca.key")
            machine = lab[name]
            for there, here in (("ca.crt", "ca.crt"), ("host.crt", f"{name}.crt"), ("host.key", f"{name}.key")):
                machine.write(f"{FOLDER}/nebula/{there}", (self.folder / here).read_text(), mode="0600")
            machine.write(f"{FOLDER}/nebula/config.yml", json.dumps(self._config(name, f"{self.at}:{PORT}")))

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

    def argv(self, _name):
        """The daemon."""
        return ["nebula", "-config", f"{FOLDER}/nebula/config.yml"]
