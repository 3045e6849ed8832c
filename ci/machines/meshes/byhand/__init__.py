"""The same daemons, configured as a person would by their manuals, on the same machines and beside the agent's: what a mesh costs
without E3. A class for each backend, of which `base` says what it has to offer. Ciphers and sizes of packets are those of the
fleet's mesh, so that E3 is compared and they are not. The built-in mesh has no form by hand.
"""

from .headscale import Headscale
from .nebula import Nebula
from .openvpn import Openvpn
from .tinc import Tinc
from .wireguard import Wireguard

BACKENDS = {"nebula": Nebula, "wireguard": Wireguard, "openvpn": Openvpn, "tinc": Tinc, "headscale": Headscale}
