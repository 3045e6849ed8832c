"""A Headscale of the fleet's own, beside the hub: with its relay (DERP) and a certificate authority of its own. Nothing of it
asks anybody outside."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing

from .. import plan
from ..failure import LabError
from ..fleet import until
from .rig import Rig

PORT = 8443
URL = f"https://{plan.HUB}:{PORT}"
START_SECONDS = 20
# What else its certificate is for.
NAME = "anchor.lab"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Headscale:
    """The server's process and its files."""

    def __init__(self, lab):
        self.lab = lab
        self.folder = lab.folder / "headscale"
        self.ca = self.folder / "ca.pem"
        self.api_key = self.folder / "api-key"
        self._binary = shutil.which("headscale")
        if self._binary is None:
            raise LabError("there is no headscale in PATH; `ci/lab meshes` gets it")
        self._process = None

    def make(self):
        """Its certificates, its settings, and a key to it for the hub."""
        self.folder.mkdir(mode=0o700)
        self._certificates()
        (self.folder / "config.yaml").write_text(json.dumps(self._settings()))
        self.on()
        made = self.command("apikeys", "create", "--expiration", "24h").strip().splitlines()[-1]
        self.api_key.touch(mode=0o600)
        self.api_key.write_text(made)

    def _settings(self):
        at = str(self.folder)
        return {
            "server_url": URL, "listen_addr": f"{plan.HUB}:{PORT}", "metrics_listen_addr": "", "grpc_listen_addr": "127.0.0.1:50443",
            "tls_cert_path": f"{at}/server.pem", "tls_key_path": f"{at}/server.key",
            "noise": {"private_key_path": f"{at}/noise.key"},
            "prefixes": {"v4": "100.64.0.0/10", "v6": "fd7a:115c:a1e0::/48", "allocation": "sequential"},
            "derp": {
                "server": {
                    "enabled": True, "region_id": 999, "region_code": "e3", "region_name": "E3", "verify_clients": True,
                    "stun_listen_addr": f"{plan.HUB}:3478", "private_key_path": f"{at}/derp.key", "ipv4": plan.HUB,
                    "automatically_add_embedded_derp_region": True,
                },
                "urls": [], "paths": [], "auto_update_enabled": False,
            },
            # What it is told it tells on at once, not after most of a second: a fleet is small.
            "tuning": {"batch_change_delay": "50ms", "node_store_batch_timeout": "50ms"},
            "disable_check_updates": True, "logtail": {"enabled": False},
            "database": {"type": "sqlite", "sqlite": {"path": f"{at}/db.sqlite", "write_ahead_log": True}},
            "policy": {"mode": "database"},
            "dns": {"magic_dns": False, "override_local_dns": False, "base_domain": "e3.internal", "nameservers": {"global": []}},
            "unix_socket": f"{at}/socket", "unix_socket_permission": "0600", "log": {"level": "info", "format": "text"},
        }

    def _certificates(self):
        self._openssl("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=lab", "-keyout", "ca.key", "-out", "ca.pem")
        self._openssl("req", *NEW_KEY, "-subj", "/CN=headscale", "-keyout", "server.key", "-out", "server.csr")
        (self.folder / "names").write_text(f"subjectAltName=IP:{plan.HUB},DNS:{NAME}\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                      "-extfile", "names", "-out", "server.pem")

    def other_authority(self):
        """An authority that has signed nothing here, in a file."""
        self._openssl("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=other", "-keyout", "other.key", "-out", "other.pem")
        return self.folder / "other.pem"

    def _openssl(self, *args):
        done = subprocess.run(["openssl", *args], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"openssl {args[0]}: {done.stderr}")

    def on(self):
        """Starts it, and waits until it answers."""
        with open(self.folder / "log", "ab") as log:
            argv = [self._binary, "--config", self.folder / "config.yaml", "serve"]
            self._process = self.lab.hub.start(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        ask = ["curl", "--silent", "--fail", "--cacert", self.ca, f"{URL}/health"]
        until(lambda: self.lab.hub.run(ask, check=False).status == 0 or self._process.poll() is not None, START_SECONDS, self.log)
        if self._process.poll() is not None:
            raise LabError(f"headscale has ended: {self.log()}")

    def policy(self, policy):
        """Tells it who may talk to whom."""
        path = self.folder / "policy.json"
        path.write_text(json.dumps(policy))
        self.command("policy", "set", "--file", path)

    def kill(self):
        """Ends it at once, and its relay with it."""
        self._process.kill()
        self._process.wait()

    def log(self):
        """Its last words."""
        return (self.folder / "log").read_text(errors="replace")[-1000:]

    def command(self, *args):
        """Asks it as its administrator does."""
        return self.lab.hub.run([self._binary, "--config", self.folder / "config.yaml", *args]).out

    def sql(self, statement):
        """Does something to what it remembers."""
        with closing(sqlite3.connect(self.folder / "db.sqlite", timeout=START_SECONDS)) as database, database:
            database.execute(statement)

    def nodes(self):
        """The machines that it knows, by their tags' parties: only what stands in its list."""
        return json.loads(self.command("nodes", "list", "--output", "json")) or []

    def node(self, name):
        """The number of a party's machine."""
        return next(str(node["id"]) for node in self.nodes() if node["name"] == f"e3-{name}")


class Controlled(Rig):
    """A fleet whose mesh is a Headscale's: no certificates, and nobody is an anchor, though p3 can be reached by all."""

    def __init__(self, lab, backend):
        super().__init__(lab, backend)
        self.unit = "e3-mesh-tailscale.service"
        self.headscale = Headscale(lab)

    def start(self):
        """Makes the fleet; its hub has a key to the server."""
        self.headscale.make()
        self.fleet.hub_options = ["--headscale", URL, "--headscale-key-file", self.headscale.api_key, "--headscale-ca", self.headscale.ca]
        super().start()

    def choose(self, server=URL, ca=None):
        """Has the fleet choose it, and the server take the policy that this says."""
        said = self.fleet.e3("mesh", "headscale", "--server", server, "--ca", ca or self.headscale.ca, "--json").out
        self.headscale.policy(json.loads(said)["policy"])

    def choose_by_name(self, name):
        """The same, with a name for the server."""
        self.choose(f"https://{name}:{PORT}")

    def far(self):
        """The server's address."""
        return plan.HUB

    def has_anchor(self):
        """Everybody is asked."""
        return False

    def is_controlled(self):
        """It is."""
        return True

    def keys(self):
        """The daemon keeps its key itself."""
        return ["/var/lib/private/e3-mesh-tailscale/tailscaled.state"]
