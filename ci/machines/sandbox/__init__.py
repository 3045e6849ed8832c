"""What the installed agent may do on a machine, and what a session's program may: tried with real systemd, D-Bus and
polkit: `ci/lab sandbox`.

| file | idea |
|---|---|
| `case`, `sessions` | what the tests share: a fleet for each class, programs as texts |
| `rights` | the agent's user: its own units and nothing else, even if the agent is taken over |
| `inside` | a hostile program in a real session: files, network, privileges |
| `console` | what somebody sees who stands before the machine |
| `doctor` | what the machine finds that is wrong with it, and what its owner hears from afar |
| `trouble` | the bus, systemd, polkit, the unit or the agent goes away in the middle |
| `disk` | the disk takes nothing for a while |
"""

from .. import suite


def run(names=("rights", "inside", "console", "doctor", "trouble", "disk")):
    """Runs all tests; True if all passed."""
    return suite.run(__name__, names)
