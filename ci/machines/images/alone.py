"""A droplet whose metadata do not answer: its agent runs all the same."""

from ..failure import NotUpInTime
from ..lab import Lab
from ..sandbox.sessions import until
from .case import ImageCase

# The agent itself takes two or three. The whole boot takes minutes, for what does wait for the metadata.
SECONDS = 15


class Alone(ImageCase):
    """Has a laboratory of its own, where nobody has the address of the metadata."""

    def test_the_agent_does_not_wait_for_the_metadata(self):
        lab = Lab(1, name="alone", nixos={"p0": self.rig.systems["digitalocean"]})
        lab.up(boot=False)
        self.addCleanup(lab.down)
        droplet = lab["p0"]
        try:
            droplet.boot(SECONDS)
        except NotUpInTime:
            pass
        self.assertEqual(self.show(droplet, "digitalocean-metadata.service", "SubState"), {"SubState": "start"})
        until("the agent is active", lambda: droplet.succeeds(["systemctl", "is-active", "e3-agent.service"]), SECONDS)
        self.assertIn("waiting for a join file", droplet.run(["e3-agent", "status"], check=False).out)
