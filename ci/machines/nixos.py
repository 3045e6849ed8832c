"""A machine that runs the NixOS system of one of our images: a container like the others, whose process 1 is the system's
own `init`, which activates it as on a real machine and becomes systemd.

Of Debian it has `/usr` alone, read-only and without a unit of systemd: what the links in the store lead to. Everything
else is as on a machine that was never booted: no users, no settings, no machine id.
"""

import os

from .container import Container, PATH
from .layer import Layer
from .realise import store

# What is not NixOS' own to make.
FOLDERS = ("bin", "boot", "dev", "etc", "home", "lib64", "mnt", "nix/store", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var")
LOADER = "ld-linux-x86-64.so.2"
UNITS = ("usr/lib/systemd/system", "usr/lib/systemd/user")


def shape(folder):
    """Makes what all NixOS machines of a laboratory are layered on; returns the folders: the root, and what hides Debian's units."""
    root, hides = folder / "root", folder / "hides"
    for path in FOLDERS:
        (root / path).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "lib").symlink_to("usr/lib")
    # As systemd-tmpfiles makes it (`environment.ldso`), but it is needed before.
    (root / "lib64" / LOADER).symlink_to(f"/usr/lib/x86_64-linux-gnu/{LOADER}")
    for path in UNITS:
        (hides / path).mkdir(parents=True)
        os.setxattr(hides / path, "trusted.overlay.opaque", b"y")
    return root, hides


class NixosLayer(Layer):
    """A machine's disk: `lowers` are what `shape` returned, and the Debian system."""

    # The store is the one that things were built in; with False it is what is on the disk.
    shared_store = True

    def script(self):
        """See `Layer`."""
        root, hides, debian = self.lowers
        mounts = [
            Layer(self.folder, [root]).script(),
            f"mount -t overlay -o 'ro,lowerdir={hides}/usr:{debian}/usr' overlay '{self.root}/usr'",
        ]
        if self.shared_store:
            mounts += [
                f"mount --bind '{store()}/store' '{self.root}/nix/store'",
                f"mount -o remount,bind,ro,nosuid,nodev '{self.root}/nix/store'",
            ]
        return "\n".join(mounts)


class Nixos(Container):
    """One of a laboratory's machines; `system` is the toplevel that it boots."""

    kind = "nixos"
    path = f"/run/wrappers/bin:/run/current-system/sw/bin:{PATH}"

    def __init__(self, node, folder, lowers, group, holder, system):
        super().__init__(node, folder, lowers, group, holder)
        self.layer = NixosLayer(folder, lowers)
        self.system = system

    def init(self):
        """See `Container`: NixOS' own first process."""
        return [f"{self.system}/init"]
