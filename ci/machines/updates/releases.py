"""Releases as an owner makes them, with the released commands; and as somebody makes them who has stolen a part of the keys."""

import base64
import functools
import hashlib
import json
import os
from pathlib import Path

from ..failure import LabError


@functools.cache
def agent():
    """The static agent that is released: E3_STATIC_AGENT, set by `ci/lab`."""
    path = Path(os.environ.get("E3_STATIC_AGENT", ""))
    if not path.is_file():
        raise LabError("there is no static agent to release: set E3_STATIC_AGENT to its path, or leave it unset for ci/lab, "
                       "which then builds one")
    return path.read_bytes()


def newer(number):
    """An agent that works, and is another file for each number: nothing looks at what follows an ELF's sections."""
    return agent() + number.to_bytes(4, "little")


def digest(binary):
    """What E3 calls these bytes."""
    return hashlib.sha256(binary).hexdigest()


class Releases:
    """The releases of a fleet."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.hub = fleet.folder / "demo/hub"
        self._count = 0

    def sign(self, version, binary, *, counter=None, by="demo"):
        """Makes a release, signed with the release key of the fleet's folder `by`; returns its folder's name."""
        self._count += 1
        name = f"release-{self._count}"
        (self.fleet.folder / f"{name}.elf").write_bytes(binary)
        self.fleet.e3("release", "sign", name, "--binary", f"{name}.elf", "--version", version,
                      "--counter", str(counter or self._count), "--fleet", by)
        return name

    def push(self, version, binary, **how):
        """Signs a release and publishes it; returns its file's digest."""
        self.fleet.e3("release", "push", self.sign(version, binary, **how))
        return digest(binary)

    def another_fleet(self, folder):
        """A fleet of the same name with keys of its own, in this folder below the owner's."""
        home = self.fleet.folder / folder
        home.mkdir()
        self.fleet.e3("key", "new", home / "key.pem")
        self.fleet.lab.hub.run(["env", f"--chdir={home}", f"E3_KEY={home}/key.pem",
                                self.fleet.binary, "fleet", "new", "demo", "--hub", "http://hub.invalid"])
        return f"{folder}/demo"

    def force(self, release):
        """What the owner's command would not do: a properly signed head names this release, and the hub has all of it. So
        would a thief with the hub and a head key, but without a release key.
        """
        folder = self.fleet.folder / release
        envelope = (folder / "release.json").read_bytes()
        for binary in folder.glob("e3-agent-*"):
            self._put(binary.read_bytes())
        self._put(envelope)
        head = json.loads((self.hub / "head.json").read_text())
        payload = json.loads(base64.b64decode(head["payload"]))
        payload["counter"] += 1
        payload["release"] = {"digest": f"sha256:{digest(envelope)}", "size": len(envelope)}
        head |= {"payload": base64.b64encode(json.dumps(payload).encode()).decode(), "signatures": []}
        (self.fleet.folder / "forged.json").write_text(json.dumps(head))
        self.fleet.e3("fleet", "sign", "forged.json")
        self.fleet.e3("fleet", "push", "forged.json")
        return payload["counter"]

    def _put(self, blob):
        path = self.hub / "sha256" / digest(blob)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(blob)
