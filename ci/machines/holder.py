"""The process that a laboratory lives in: number 1 of its process namespace, owner of its network and its mounts.

Run as a script by `lab`, inside fresh namespaces. When it ends, the kernel ends every process of the laboratory, takes
down its networks and drops its mounts; nothing of it can be left over. With `--held` it ends when its standard input
does, that is when whoever made the laboratory is gone, even by SIGKILL. It imports nothing of ours.
"""

import os
import signal
import subprocess
import sys


def reap(_number, _frame):
    """Orphans of the laboratory come to process 1, which must collect them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def prepare():
    """Mounts that only the laboratory sees."""
    mounts = [
        # nspawn and ip-netns keep notes in /run: not in the host's.
        ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
        # A pure cgroup2 tree over whatever the host has: systemd 256 and newer refuse anything else.
        ["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"],
    ]
    for command in mounts:
        subprocess.run(command, check=True)


def main():
    """Prepares, says so, and waits."""
    prepare()
    signal.signal(signal.SIGCHLD, reap)
    os.write(1, b"ready\n")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    if "--held" in sys.argv:
        while os.read(0, 1):
            pass
        return
    while True:
        signal.pause()


main()
