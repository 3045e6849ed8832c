"""What a mesh by hand has to offer."""

from ..rig import ANCHOR, PARTIES

PORT = 4343
PREFIX = "fd99::"


class ByHand:
    """Keys and configurations for all machines, which a subclass makes; each has another address and another port than in the
    fleet's mesh."""

    # Whether a machine cannot have two of its daemons at once, the anchor not either.
    is_alone = False

    def __init__(self, rig):
        self.anchor = ANCHOR
        self.machines = [*PARTIES, ANCHOR]
        # Where all reach the anchor.
        self.at = rig.lab.network.node(ANCHOR).address
        self.folder = rig.lab.folder / f"by-hand-{rig.backend}"
        self.folder.mkdir()

    def address(self, name):
        """Where a machine is in the mesh."""
        return f"{PREFIX}{self.machines.index(name) + 1}"

    def argv(self, name):
        """The command that is its daemon."""
        raise NotImplementedError
