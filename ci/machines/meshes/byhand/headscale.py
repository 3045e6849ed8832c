"""Headscale by hand: the fleet's server, which makes a key for each machine when its administrator asks for one."""

import json

from ...fleet import until
from ..measure import FOLDER
from ..headscale import URL
from ..rig import JOIN_SECONDS
from .base import PORT, ByHand

HERE = f"{FOLDER}/tailscale"


class Headscale(ByHand):
    """Its machines have the tag of the fleet's, for which there is a policy already."""

    # Routing rules are the daemon's own, by their numbers.
    is_alone = True

    def __init__(self, rig):
        super().__init__(rig)
        self._server = rig.headscale
        tag = next(tag for node in self._server.nodes() for tag in node["tags"])
        for name in self.machines:
            made = self._server.command("preauthkeys", "create", "--tags", tag, "--expiration", "1h", "--output", "json")
            machine = rig.lab[name]
            machine.write(f"{HERE}/key", json.loads(made)["key"], mode="0600")
            machine.write(f"{HERE}/ca.crt", self._server.ca.read_text())
            self._settle(rig, name, {"authKey": f"file:{HERE}/key"})
        self._addresses = {}
        self._first(rig)
        # It would show that key at each start, and be refused: the key is good once.
        for name in self.machines:
            self._settle(rig, name, {})

    @staticmethod
    def _settle(rig, name, more):
        rig.lab[name].write(f"{HERE}/config.json", json.dumps({
            "version": "alpha0", "enabled": True, "hostname": f"hand-{name}", "serverURL": URL, "acceptDNS": False, "acceptRoutes": False,
            "netfilterMode": "off", "autoUpdate": {"Check": False, "Apply": False}, **more,
        }))

    def _first(self, rig):
        """Each is let in once; it has its address from then on."""
        started = [rig.lab[name].start(self.argv(name), stdin=-3, stdout=-3, stderr=-3) for name in self.machines]
        try:
            until(lambda: self._learn() == len(self.machines), JOIN_SECONDS, lambda: f"known by hand: {self._addresses}")
            for name in self.machines:
                ping = ["ping", "-n", "-q", "-c", "1", "-W", "1", self.address(name)]
                until(lambda: rig.lab[name].succeeds(ping), JOIN_SECONDS, lambda: f"{name} is not in the mesh by hand")
        finally:
            for process in started:
                process.terminate()
                process.wait(timeout=20)

    def _learn(self):
        for node in self._server.nodes():
            if node["name"].startswith("hand-"):
                self._addresses[node["name"].removeprefix("hand-")] = node["ip_addresses"][0]
        return len(self._addresses)

    def address(self, name):
        """The one that the server gave it."""
        return self._addresses[name]

    def argv(self, _name):
        """The daemon."""
        return ["env", f"SSL_CERT_FILE={HERE}/ca.crt", "tailscaled", f"--config={HERE}/config.json", f"--statedir={HERE}/state",
                f"--socket={HERE}/socket", f"--port={PORT}", "--tun=byhand", "--no-logs-no-support"]
