"""Three machines with the systems of three images, a fleet for them, and what the user of each image puts a join file in: the
metadata of a droplet, the card of a Raspberry Pi, the files of Windows."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from .. import fleet
from ..failure import LabError
from ..lab import Lab
from ..media.case import Card
from ..realise import Sources, realise
from .metadata import ADDRESS

# The one that runs; the tests share it, since what they cost is the boot.
current = None

NOTHING = "!! NOT BOOTED: no NixOS system was realised, since there is no nixpkgs; name a tree of it as E3_NIXPKGS"
NO_WSL = "!! NOT BOOTED: the image for WSL; name a git repository of NixOS-WSL as E3_NIXOS_WSL"
HOSTNAME = "droplet-1"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAcQFIbHsTzTGiKCNSJlSqk4CHvp8UEAGGHHfkxzRSu owner"


def sources(say):
    """What systems can be made of here; None, and a loud word, if that is nothing."""
    found = Sources.from_environment()
    if found is None:
        say(NOTHING)
    elif "wsl" not in found.images():
        say(NO_WSL)
    return found


class Rig:
    """`machines`: image -> name; `lab`, `fleet` as in the other tests; `seconds`: how long each step took."""

    def __init__(self, found, say, only=None):
        self.images = [image for image in found.images() if image in (only or found.images())]
        # With all images, `e3.wsl` is made, too.
        self._file = only is None and "wsl" in self.images
        self.machines = {image: f"p{i}" for i, image in enumerate(self.images)}
        # The join files, as they were put in their places.
        self.join_files = {}
        self.seconds = {}
        self._sources = found
        self._say = say
        self._stack = ExitStack()

    def __enter__(self):
        with self._stack:
            entered = began = time.monotonic()
            wanted = [*self.images, *(["wsl-file"] if self._file else [])]
            self.systems = realise(wanted, self._sources, os.environ["E3_AGENT"], self._say)
            self.seconds["realised"] = time.monotonic() - began
            nixos = {name: self.systems[image] for image, name in self.machines.items()}
            self.lab = Lab(len(nixos), name="images", nixos=nixos, say=self._say)
            self.lab.up(boot=False)
            self._stack.callback(self.lab.down)
            self.fleet = fleet.Fleet(self.lab, fleet.need_binary())
            self.fleet.found()
            self._prepare()
            began = time.monotonic()
            self.lab.boot()
            self.seconds["booted"] = {image: self.lab.booted[name] for image, name in self.machines.items()}
            self._enrol()
            self.seconds["joined"] = time.monotonic() - began
            self.seconds["from nothing to joined"] = time.monotonic() - entered
            self.seconds["ready"] = {image: self.ready(image) for image in self.images}
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def __getitem__(self, image):
        return self.lab[self.machines[image]]

    def ready(self, image):
        """Seconds from systemd's start to the agent's READY=1."""
        shown = self[image].run(["systemctl", "show", "e3-agent.service", "-P", "ActiveEnterTimestampMonotonic"]).out
        begun = self[image].run(["systemctl", "show", "-P", "UserspaceTimestampMonotonic"]).out
        return (int(shown) - int(begun)) / 1e6

    def _prepare(self):
        """Puts a join file in the place of each image, before the first boot."""
        for image, name in self.machines.items():
            self.fleet.e3("fleet", "invite", name, "-o", f"{name}.toml")
            self.join_files[image] = (self.fleet.folder / f"{name}.toml").read_text(encoding="utf-8")
        if "digitalocean" in self.images:
            self._metadata()
        if "raspberrypi" in self.images:
            self.card = Card(self.lab.folder)
            # As `e3 image inject --ssh-key` writes it.
            self.key = self.lab.folder / "ssh-key"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f", self.key], check=True)
            public = self.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
            self.join_files["raspberrypi"] = f'ssh_keys = ["{public}"]\n{self.join_files["raspberrypi"]}'
            self.card.write(self.join_files["raspberrypi"])
            self.card.insert(self["raspberrypi"])
        if "wsl" in self.images:
            drive = self.lab.folder / "windows"
            self.on_windows = drive / "Users/alice/e3.toml"
            self.on_windows.parent.mkdir(parents=True)
            self.on_windows.write_text(self.join_files["wsl"], encoding="utf-8")
            self["wsl"].media = ['mkdir -p "$root/mnt/c"', f"mount --bind '{drive}' \"$root/mnt/c\""]

    def _metadata(self):
        """Starts the service that tells a droplet what it is."""
        self.metadata = self.lab.folder / "metadata"
        folder = self.metadata / self.lab.network.node(self.machines["digitalocean"]).address / "metadata/v1"
        folder.mkdir(parents=True)
        told = {"droplet_id": 1, "hostname": HOSTNAME, "public_keys": [SSH_KEY], "user_data": self.join_files["digitalocean"]}
        (folder.parent / "v1.json").write_text(json.dumps(told), encoding="utf-8")
        (folder / "hostname").write_text(HOSTNAME, encoding="utf-8")
        self.lab.hub.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "internet"])
        script = str(Path(__file__).with_name("metadata.py"))
        service = self.lab.hub.start([sys.executable, "-I", script, self.metadata], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._stack.callback(service.wait)
        self._stack.callback(service.kill)
        if service.stdout.readline() != "listening\n":
            raise LabError("the metadata service of the laboratory does not start")

    def _enrol(self):
        """Waits until all are parties, and accepts them as their owner."""
        names = list(self.machines.values())
        try:
            self.fleet.enrolled(names)
        except LabError as error:
            logs = [f"{image}: {self[image].journal('e3-import')[-2000:]}" for image in self.images]
            raise LabError("\n".join([str(error), *logs])) from error
        self.fleet.accept()

    def told(self):
        """How long things took, for a person; and what was left out."""
        for step, seconds in self.seconds.items():
            parts = seconds.items() if isinstance(seconds, dict) else [("", seconds)]
            yield f"{step}: " + ", ".join(f"{name} {value:.1f} s".strip() for name, value in parts)
        if "wsl" not in self.images:
            yield NO_WSL
