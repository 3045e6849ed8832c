"""Who is where in each kind of network: names and addresses, nothing else.

`lan`        hub and machines on one bridge.
`nat`        the hub on a bridge called `internet`; routers r0 and r1 with one leg in it, each with a LAN behind it; p0, p2, …
             are behind r0 and p1, p3, … behind r1. The routers masquerade and keep the source port where they can, and let
             nothing in that was not asked for.
`symmetric`  the same with a random source port for each connection, so that what one peer sees tells another one nothing.
`mixed`      r0 is of the first kind, r1 of the second.
`cgnat`      as `symmetric`, and behind routers r2 and r3 of the same kind: what mobile networks are like.
`no-udp`     as `nat`, and r0 lets no UDP through: what companies are like.
`…-anchor`   any of these, but the last machine is on the bridge `internet`, where all others can reach it.

All addresses are private and exist only in the laboratory's namespaces; there is no way out of it.
"""

from dataclasses import dataclass, field, replace

# What each router in front of machines does.
ROUTERS = {
    "nat": ("cone", "cone"),
    "symmetric": ("symmetric", "symmetric"),
    "mixed": ("cone", "symmetric"),
    "cgnat": ("symmetric", "symmetric"),
    "no-udp": ("no-udp", "cone"),
}
ANCHOR = "-anchor"
NETWORKS = ("lan", *ROUTERS, *(kind + ANCHOR for kind in ROUTERS))
HUB = "10.53.0.1"
# More would not fit the addresses below, nor most computers.
MOST_MACHINES = 64


@dataclass(frozen=True)
class Node:
    """A machine or a router, and the cable it hangs on."""

    name: str
    # Whose bridge the other end of its cable is on: "hub" or a router.
    switch: str
    address: str
    gateway: str


@dataclass(frozen=True)
class Plan:
    """A network."""

    kind: str
    routers: tuple
    machines: tuple
    # Where the hub and each node beside it is, if they are far from each other (`regions`).
    regions: dict = field(default_factory=dict)

    def node(self, name):
        """The machine or router of this name, or None."""
        return next((node for node in self.routers + self.machines if node.name == name), None)

    def switches(self):
        """Where the bridges are."""
        return ("hub", *(router.name for router in self.routers))

    def spread(self, regions):
        """The same over these regions, by turns; the hub is in the first one, and so is the machine that all others can reach."""
        beside = [node for node in self.routers + self.machines if node.switch == "hub"]
        where = {node.name: regions[place % len(regions)] for place, node in enumerate(beside)}
        if self.kind.endswith(ANCHOR):
            where[self.machines[-1].name] = regions[0]
        return replace(self, regions={"hub": regions[0], **where})

    def does(self, router):
        """What a router does: `cone`, `symmetric` or `no-udp`."""
        return ROUTERS[self.kind.removesuffix(ANCHOR)][int(router[1:]) % 2]

    def lan_of(self, router):
        """The address of a router in its own LAN."""
        return f"192.168.{10 + int(router[1:])}.1"


def make(kind, count):
    """The plan for `count` machines."""
    if kind == "lan":
        machines = [Node(f"p{i}", "hub", f"10.53.0.{10 + i}", HUB) for i in range(count)]
        return Plan(kind, (), tuple(machines))
    routers = [Node(f"r{i}", "hub", f"10.53.0.{2 + i}", HUB) for i in range(2)]
    if kind.startswith("cgnat"):
        outer = [Node(f"r{2 + i}", "hub", f"10.53.0.{4 + i}", HUB) for i in range(2)]
        routers = [*outer, *(Node(f"r{i}", f"r{2 + i}", f"192.168.{12 + i}.2", f"192.168.{12 + i}.1") for i in range(2))]
    machines = [Node(f"p{i}", f"r{i % 2}", f"192.168.{10 + i % 2}.{10 + i}", f"192.168.{10 + i % 2}.1") for i in range(count)]
    if kind.endswith(ANCHOR):
        machines[-1] = Node(f"p{count - 1}", "hub", f"10.53.0.{10 + count - 1}", HUB)
    return Plan(kind, tuple(routers), tuple(machines))
