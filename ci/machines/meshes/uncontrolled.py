"""What goes wrong with a control server, and with the keys that let machines in."""

import subprocess
from contextlib import contextmanager

from ..plan import HUB
from .causes import VICTIM, stopped
from .headscale import URL

OTHER_PORT = 9443
# What the server does to each key as soon as it has made it.
SPOILED = """\
CREATE TRIGGER spoiled AFTER INSERT ON pre_auth_keys BEGIN UPDATE pre_auth_keys SET {what} WHERE id = NEW.id; END
"""


@contextmanager
def wrong_server(rig):
    """Where the head says that the control server is nobody listens."""
    rig.choose(f"https://{HUB}:{OTHER_PORT}")
    yield VICTIM


@contextmanager
def another_server(rig):
    """Where the head says that the control server is a web server answers, with the right certificate."""
    at = rig.headscale.folder
    argv = ["openssl", "s_server", "-quiet", "-WWW", "-accept", f"{HUB}:{OTHER_PORT}", "-cert", at / "server.pem", "-key", at / "server.key"]
    with rig.lab.hub.start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            rig.choose(f"https://{HUB}:{OTHER_PORT}")
            yield VICTIM
        finally:
            server.kill()


@contextmanager
def wrong_authority(rig):
    """The server's certificate is not of the authority that the head names."""
    rig.choose(ca=rig.headscale.other_authority())
    for name in rig.lab.machines:
        # What is connected stays so.
        rig.lab[name].run(["systemctl", "restart", rig.unit], check=False)
    yield VICTIM


@contextmanager
def used_key(rig):
    """Somebody has used the machine's key before it."""
    with spoiled(rig, VICTIM, "used = 1"):
        yield VICTIM


@contextmanager
def expired_key(rig):
    """The machine's key is too old when it comes with it."""
    # Another one: the hub makes few keys for each.
    with spoiled(rig, "p2", "expiration = '2020-01-01 00:00:00+00:00'"):
        yield "p2"


@contextmanager
def spoiled(rig, name, what):
    """A machine needs a key, and those that the server makes are good for nothing."""
    with stopped(rig, name) as machine:
        machine.run(["rm", "-r", *rig.keys()])
        rig.headscale.sql(SPOILED.format(what=what))
    try:
        yield
    finally:
        rig.headscale.sql("DROP TRIGGER spoiled")
