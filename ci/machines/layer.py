"""Overlays: a folder of changes over read-only folders.

They are mounted only in a mount namespace of their own, so the mount ends with the last process in it.
"""

from .inside import enter


class Layer:
    """What is written above `lowers` (highest first), kept in `folder`."""

    def __init__(self, folder, lowers):
        self.folder = folder
        self.upper = folder / "changes"
        self.root = folder / "root"
        self.lowers = lowers

    def create(self):
        """Makes the folders."""
        for path in (self.folder, self.upper, self.folder / "work", self.root):
            path.mkdir(mode=0o755, exist_ok=True)

    def script(self):
        """Shell commands that mount it."""
        lower = ":".join(str(path) for path in self.lowers)
        options = f"lowerdir={lower},upperdir={self.upper},workdir={self.folder / 'work'}"
        return f"mount -t overlay -o '{options}' overlay '{self.root}'"

    def chroot(self, holder_pid, argv):
        """The command that runs `argv` in it, as long as no machine does."""
        script = f"set -e\n{self.script()}\nexec chroot '{self.root}' \"$@\""
        return [*enter(holder_pid), "unshare", "--mount", "--propagation", "private",
                "sh", "-c", script, "sh", *argv]
