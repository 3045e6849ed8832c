"""Builds a plan out of network namespaces, bridges, cables (veth pairs) and NAT rules.

The holder's own network namespace is the hub's. Each router and each machine has one of its own, named like it; a
machine's outlives its power cuts. Everything vanishes with the holder.
"""

from . import plan

# The namespace between regions.
DISTANCE = "distance"
NAT = """
table ip nat {
  chain out { type nat hook postrouting priority srcnat; oifname "wan" masquerade %s; }
}
table inet firewall {
  chain through {
    type filter hook forward priority filter; policy drop;
    %s
    ct state established,related accept
    iifname "lan" accept
  }
  # Without this a router answers what nobody asked for, and its kernel then takes that port for its own: a hole that is
  # punched from inside gets another one.
  chain own { type filter hook input priority filter; policy accept; iifname "wan" ct state new drop; }
}
"""
MASQUERADE = {"cone": "", "symmetric": "random,fully-random", "no-udp": ""}
DROPS = {"no-udp": "meta l4proto udp drop"}


def build(holder, network, emulated=()):
    """Makes the whole network."""
    bridge(holder, "hub", "internet", plan.HUB)
    for router in network.routers:
        cable(holder, router, "wan")
        bridge(holder, router.name, "lan", network.lan_of(router.name))
        sysctl(holder, router.name, "net/ipv4/ip_forward", 1)
        holder.run(["nft", "-f", "-"], within=router.name, text=nat(network.does(router.name)))
    for machine in network.machines:
        if machine.name in emulated:
            tap(holder, machine)
        else:
            cable(holder, machine, "eth0")
    if network.regions:
        keep_apart(holder, network)


def keep_apart(holder, network):
    """Has everything between the hub and the nodes beside it go through a namespace of its own, where `distance` runs."""
    holder.run(["ip", "netns", "add", DISTANCE])
    for which in ("all", "default"):
        sysctl(holder, DISTANCE, f"net/ipv6/conf/{which}/disable_ipv6", 1)
    batch(holder, "hub", [
        f"link add {DISTANCE} type veth peer name hub netns {DISTANCE}",
        f"link set {DISTANCE} master internet up",
        *(line for name in network.regions if name != "hub" for line in (f"link set {name} nomaster", f"link set {name} netns {DISTANCE}")),
    ])
    batch(holder, DISTANCE, [f"link set {name} up" for name in network.regions])


def nat(does):
    """The rules of a router."""
    return NAT % (MASQUERADE[does], DROPS.get(does, ""))


def namespace(switch):
    """The named namespace of a switch; the hub's is the holder's own."""
    return None if switch == "hub" else switch


def bridge(holder, switch, name, address):
    """A switch, with an address of its own."""
    # What a namespace starts with is the host's setting, which may be to forward.
    sysctl(holder, switch, "net/ipv4/ip_forward", 0)
    batch(holder, switch, [
        "link set lo up",
        f"link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"address add {address}/24 dev {name}",
        f"link set {name} up",
    ])


def cable(holder, node, interface):
    """Plugs a machine or router into its switch; the port is called like the node."""
    bridge_name = "internet" if node.switch == "hub" else "lan"
    holder.run(["ip", "netns", "add", node.name])
    # The pair is made from inside the holder's namespace, where `ip` knows all names, and each end is moved to its place.
    inside_switch = [f"link set {node.name} netns {node.switch}"] if node.switch != "hub" else []
    batch(holder, "hub", [
        f"link add {node.name} type veth peer name {interface} netns {node.name}",
        *inside_switch,
    ])
    batch(holder, node.switch, [f"link set {node.name} master {bridge_name} up"])
    batch(holder, node.name, [
        "link set lo up",
        f"address add {node.address}/24 dev {interface}",
        f"link set {interface} up",
        f"route add default via {node.gateway}",
    ])


def tap(holder, node):
    """A port for an emulated machine, which opens it by its name."""
    bridge_name = "internet" if node.switch == "hub" else "lan"
    batch(holder, node.switch, [f"tuntap add {node.name} mode tap", f"link set {node.name} master {bridge_name} up"])


def batch(holder, where, lines):
    """Several `ip` commands in one namespace."""
    holder.run(["ip", "-batch", "-"], within=namespace(where), text="\n".join(lines) + "\n")


def sysctl(holder, where, key, value):
    """Sets a network parameter, which counts for the namespace of whoever writes it."""
    holder.run(["sh", "-c", f"echo {value} >/proc/sys/{key}"], within=namespace(where))
