"""The NixOS systems of our images, realised without a cache and booted: `ci/nix boot`, or `ci/lab nixos`.

| file | idea |
|---|---|
| `rig` | three machines, a droplet, a Raspberry Pi and one of WSL, each with what its users know it by: metadata, a card, Windows |
| `metadata` | the droplet's metadata service |
| `system` | what runs on each: everything that should, nothing that failed, nobody as root who need not be |
| `joining` | a join file in each image's own place has made it a party, and its secrets are gone |
| `alone` | a droplet whose metadata do not answer |
| `wsl_file` | `e3.wsl` as Windows unpacks it: what has to be in it, and that it boots |
| `session` | the three compute something together; what the program may see on NixOS |
| `rights` | polkit on NixOS: the agent's own units and no others, tried as in `sandbox.rights` |
| `bench` | how long it takes until the three are parties, from an empty store and after a change; for `ci/bench nix` |
"""

import json

from .. import suite
from . import rig

# In this order: a machine that computes is not attacked before.
TESTS = ("system", "joining", "session", "rights", "alone", "wsl_file")


def run(say, as_json):
    """Runs all tests; True if all passed. Says what could not be tried, and how long things took."""
    sources = rig.sources(say)
    if sources is None:
        return True
    with rig.Rig(sources, say) as rig.current:
        passed = suite.run(__name__, TESTS)
        for line in rig.current.told():
            say(line)
        if as_json:
            print(json.dumps(rig.current.seconds))
    return passed
