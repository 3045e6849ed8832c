"""WireGuard by hand: one hub that passes packets on, by the kernel or by wireguard-go, as the agent's unit has it."""

from ..measure import FOLDER
from .base import PORT, PREFIX, ByHand


class Wireguard(ByHand):
    """A device and its peers."""

    def __init__(self, rig):
        super().__init__(rig)
        lab, anchor = rig.lab, self.anchor
        secrets = {name: lab[name].run(["wg", "genkey"]).out.strip() for name in self.machines}
        publics = {name: lab[name].run(["wg", "pubkey"], text=secret).out.strip() for name, secret in secrets.items()}
        for name, secret in secrets.items():
            config = f"[Interface]\nPrivateKey = {secret}\n"
            if name == anchor:
                config += f"ListenPort = {PORT}\n"
                config += "".join(f"[Peer]\nPublicKey = {publics[other]}\nAllowedIPs = {self.address(other)}/128\n"
                                  for other in self.machines if other != anchor)
            else:
                config += (f"[Peer]\nPublicKey = {publics[anchor]}\nAllowedIPs = {PREFIX}/64\nEndpoint = {self.at}:{PORT}\n"
                           "PersistentKeepalive = 15\n")
            lab[name].write(f"{FOLDER}/wireguard/config", config, mode="0600")

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
