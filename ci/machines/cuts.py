"""Partitions: packets are dropped where the cables meet, without any machine or router being told.

A cut is one name (everything to and from it is dropped) or two (only between these). Both ends notice nothing but
silence, as with a real cable; connections that are open stay open and resume after `heal`, if they have the patience.
"""

from . import plan
from .failure import LabError
from .network import namespace


def check(network, cut):
    """Refuses what cannot be done."""
    if network.regions:
        raise LabError("between regions nothing can be cut: their cables do not meet at a switch that knows cuts")
    for name in cut:
        if name != "hub" and network.node(name) is None:
            known = ", ".join(["hub", *(node.name for node in network.routers + network.machines)])
            raise LabError(f"there is no `{name}` here; known: {known}")
    if len(set(cut)) < len(cut):
        raise LabError(f"`{cut[0]}` cannot be cut off from itself")
    if len(cut) == 2 and "hub" not in cut:
        one, other = (network.node(name) for name in cut)
        if one.switch != other.switch:
            raise LabError(f"{one.name} and {other.name} are behind different NATs, where a packet does not show whose it is: "
                           f"cut one of them off alone (`cut {one.name}`), or the routers from each other (`cut r0 r1`)")


def apply(holder, network, cuts):
    """Makes exactly these cuts, and no others, hold."""
    for switch in network.switches():
        bridge, routed = rules(network, cuts, switch)
        text = "\n".join([
            "table bridge cut", "delete table bridge cut", "table bridge cut {",
            # Each hook by itself: `forward` sees what is between two ports, the others what is for the switch's owner.
            *(f"chain {hook} {{ type filter hook {hook} priority 0; {' '.join(bridge[hook])} }}" for hook in bridge),
            "}",
            "table ip cut", "delete table ip cut", "table ip cut {",
            f"chain routed {{ type filter hook forward priority -10; {' '.join(routed)} }}",
            "}", "",
        ])
        holder.run(["nft", "-f", "-"], within=namespace(switch), text=text)


def rules(network, cuts, switch):
    """What one switch must drop: by bridge hook, and routed through it."""
    bridge = {"prerouting": [], "postrouting": [], "forward": [], "input": [], "output": []}
    routed = []
    for cut in cuts:
        nodes = [network.node(name) for name in cut if name != "hub"]
        here = [node.name for node in nodes if node.switch == switch]
        if cut == ["hub"]:
            if switch == "hub":
                bridge["input"].append("drop;")
                bridge["output"].append("drop;")
        elif not here:
            continue
        elif len(cut) == 1:
            bridge["prerouting"].append(f'iifname "{here[0]}" drop;')
            bridge["postrouting"].append(f'oifname "{here[0]}" drop;')
        elif "hub" not in cut:
            one, other = here
            bridge["forward"].append(f'iifname "{one}" oifname "{other}" drop; iifname "{other}" oifname "{one}" drop;')
        elif switch == "hub":
            bridge["input"].append(f'iifname "{here[0]}" drop;')
            bridge["output"].append(f'oifname "{here[0]}" drop;')
        else:
            address = nodes[0].address
            routed.append(f"ip saddr {address} ip daddr {plan.HUB} drop; ip saddr {plan.HUB} ip daddr {address} drop;")
    return bridge, routed
