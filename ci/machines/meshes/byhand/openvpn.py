"""OpenVPN by hand: an authority, a certificate for each machine, one server that knows everybody's address."""

import subprocess

from ...failure import LabError
from ..measure import FOLDER
from .base import PORT, PREFIX, ByHand

HERE = f"{FOLDER}/openvpn"
COMMON = f"""\
dev byhand
dev-type tun
topology subnet
tun-mtu 1300
disable-dco
data-ciphers AES-256-GCM
ca {HERE}/ca.crt
cert {HERE}/host.crt
key {HERE}/host.key
"""


class Openvpn(ByHand):
    """By UDP."""

    def __init__(self, rig):
        super().__init__(rig)
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl("req", "-x509", *new, "-days", "2", "-subj", "/CN=by hand", "-keyout", "ca.key", "-out", "ca.crt")
        for name in self.machines:
            usage = "serverAuth" if name == self.anchor else "clientAuth"
            (self.folder / f"{name}.ext").write_text(f"extendedKeyUsage={usage}\nkeyUsage=digitalSignature\n")
            self._openssl("req", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                          "-extfile", f"{name}.ext", "-out", f"{name}.crt")
            for there, here in (("ca.crt", "ca.crt"), ("host.crt", f"{name}.crt"), ("host.key", f"{name}.key")):
                rig.lab[name].write(f"{HERE}/{there}", (self.folder / here).read_text(), mode="0600")
            rig.lab[name].write(f"{HERE}/config.conf", COMMON + (self._server() if name == self.anchor else self._client()))
            rig.lab[self.anchor].write(f"{HERE}/known/{name}", f"ifconfig-ipv6-push {self.address(name)}/64 {self.address(self.anchor)}\n")

    def _openssl(self, *args):
        done = subprocess.run(["openssl", *args], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"openssl {args[0]}: {done.stderr}")

    def _server(self):
        return (f"mode server\ntls-server\ndh none\nclient-to-client\nclient-config-dir {HERE}/known\nccd-exclusive\nkeepalive 4 16\n"
                f"proto udp6\nport {PORT}\nifconfig-ipv6 {self.address(self.anchor)}/64 {PREFIX}\n")

    def _client(self):
        return f"client\nnobind\nremote-cert-tls server\nremote {self.at} {PORT} udp\n"

    def argv(self, _name):
        """The daemon."""
        return ["openvpn", "--config", f"{HERE}/config.conf"]
