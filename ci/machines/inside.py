"""Running commands in the namespaces of a process: the holder's, or a machine's."""

import subprocess

from .failure import LabError


def enter(pid):
    """The command that goes where `pid` is: its mounts, its network, its processes, with which it then lives and dies."""
    return ["nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--"]


# Between `nsenter` and what it runs: whoever stops the one that he sees stops the one that is inside, too.
TOGETHER = ["setpriv", "--pdeathsig", "TERM", "--"]


class Holder:
    """The namespaces of a laboratory."""

    def __init__(self, pid):
        self.pid = pid

    def run(self, argv, *, within=None, text=None):
        """Runs a tool of the host in the laboratory, in the network namespace `within` (default: the hub's)."""
        netns = ["ip", "netns", "exec", within] if within else []
        done = subprocess.run([*enter(self.pid), *netns, *argv], input=text, text=True, capture_output=True, check=False)
        if done.returncode:
            raise LabError(f"`{' '.join(argv)}` failed with status {done.returncode}: {done.stderr.strip()}")
        return done.stdout
