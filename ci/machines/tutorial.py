"""`ci/lab tutorial`: does what `images/tutorial.md` says, and compares what it shows with what really happens.

The tutorial is a text for people. In its blocks of kind `console` a line with a prompt is a command, and what follows is what
it answers; `[…]` stands for any lines. Who types is told by the prompt (`PLACES`). What people do with their hands is a comment
`<!-- lab: … -->`, one of `Story`'s methods. Times, keys and digests differ from run to run, and only their kind is compared.
`--write` puts what happened into the text.
"""

import difflib
import json
import os
import re
import shutil
import subprocess

from .demo import SALARIES
from .failure import LabError
from .fleet import INPUT, Fleet, need_binary, until
from .lab import Lab
from .media.case import Card
from .place import CLONE

TEXT = CLONE / "images/tutorial.md"
PROMPT = re.compile(r"(anna|ben|pi|droplet|laptop)([$#]) (.*)")
HAND = re.compile(r"<!-- lab: (\w+)(?: (\S+))? -->")
ANYTHING = "[…]"
# Machine -> its image. Two routers that hide who is behind them, of different kinds, and a machine that everybody can reach.
MACHINES = {"p0": "raspberrypi", "p1": "wsl", "p2": "digitalocean"}
NETWORK = "mixed-anchor"
# By prompt: the machine; Anna's own computer is at the hub's place.
PLACES = {"pi": "p0", "laptop": "p1", "droplet": "p2"}
JOIN_SECONDS = 60
CARD_BYTES = 64 << 20
# What differs from run to run, and what stands for it when two runs are compared.
VARIES = [(re.compile(pattern, re.MULTILINE), f"<{kind}>") for kind, pattern in [
    ("key", r"z6Mk\w+…?"), ("digest", r"sha256[: ][0-9a-f]+…?"), ("time", r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?"),
    ("counter", r"counter \d+"), ("loopback", r"\b127(\.\d+){3}"), ("way", r"(direct|relayed)( [\d.]+ ms)?$"),
    ("span", r"for another \w+|\b\d+(\.\d+)? (s|ms|min)\b"), ("words", r"\b([a-z]+ ){5}[a-z]+$"), ("space", r" {2,}"),
]]


def run(write, say):
    """Goes through the text; True if everything in it is so."""
    old = TEXT.read_text(encoding="utf-8")
    lab = Lab(len(MACHINES), network_kind=NETWORK, name=f"tutorial-{os.getpid()}", agent=os.environ["E3_AGENT"], golden=MACHINES,
              mesh=[os.environ["E3_LINK"]], say=say)
    lab.up(boot=False)
    try:
        new = Story(lab, say).tell(old)
    finally:
        lab.down()
    if write:
        TEXT.write_text(new, encoding="utf-8")
        return True
    difference = list(difflib.unified_diff(masked(old), masked(new), "images/tutorial.md", "what happened", lineterm="", n=2))
    for line in difference:
        say(line)
    return not difference


def masked(text):
    """The lines of a text, without what differs from run to run."""
    for pattern, kind in VARIES:
        text = pattern.sub(kind, text)
    return text.splitlines()


class Story:
    """Three people and their machines."""

    def __init__(self, lab, say):
        self.lab = lab
        self.say = say
        self.fleet = Fleet(lab, need_binary())
        self.fleet.name = "salaries"
        self.folder = self.fleet.folder
        self.folder.mkdir()
        self.card = None

    def tell(self, text):
        """Does what the text says, and returns it with what happened."""
        told, block = [], None
        for line in text.splitlines():
            if line == "```console":
                block = []
            elif line == "```" and block is not None:
                told += self.block(block)
                block = None
            elif block is not None:
                block.append(line)
                continue
            elif hand := HAND.fullmatch(line):
                self.say(f"tutorial: {hand[1]} {hand[2] or ''}")
                getattr(self, hand[1])(*filter(None, [hand[2]]))
            told.append(line)
        return "\n".join(told) + "\n"

    def block(self, lines):
        """The commands of one block, and their answers."""
        answers = []
        for line in lines:
            if PROMPT.fullmatch(line):
                answers.append((line, []))
            elif not answers:
                raise LabError(f"there is no command before `{line}`")
            else:
                answers[-1][1].append(line)
        told = []
        for command, expected in answers:
            told += [command, *shown(self.type(*PROMPT.fullmatch(command).groups()), expected)]
        return told

    def type(self, who, _prompt, command):
        """What a command answers on standard output."""
        self.say(f"tutorial: {who}: {command}")
        if who in PLACES:
            done = self.lab[PLACES[who]].run(["sh", "-c", command], check=False)
            status, out, err = done.status, done.out, done.err
        else:
            inside = ["env", f"--chdir={self.folder}", *self.environment(who), "sh", "-c", command]
            if command.startswith("e3 session sign"):
                # It asks the Python index for MPyC, which the laboratory's network has no way to.
                done = subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                status, out, err = done.returncode, done.stdout, done.stderr
            else:
                done = self.lab.hub.run(inside, check=False)
                status, out, err = done.status, done.out, done.err
        if status:
            raise LabError(f"`{command}` ended with status {status}: {err or out}")
        return [line.rstrip() for line in out.replace(str(self.folder), "~").splitlines()]

    def environment(self, who):
        """What a person's commands have around them: only Anna has a key, and a fleet."""
        path = f"PATH={self.fleet.binary.rpartition('/')[0]}:{os.environ['PATH']}"
        if who != "anna":
            return ["-u", "E3_KEY", "-u", "E3_FLEET", path]
        fleet = self.folder / self.fleet.name
        return [path, f"E3_KEY={self.folder}/key.pem", *([f"E3_FLEET={fleet}"] if fleet.exists() else [])]

    # What people do with their hands.

    def hub(self):
        """Anna leaves `e3 hub serve` running."""
        self.fleet.hub_options = ["--relay", f"--relay-program={os.environ['E3_LINK']}"]
        self.fleet.hub_on()

    def program(self):
        """She has the example program."""
        shutil.copy(CLONE / "agent/cli/programs/average.py", self.folder)

    def image(self, name):
        """She has downloaded an image: here its partition table and FAT partition, which is all that is asked of it."""
        path = self.folder / name
        with open(path, "wb") as file:
            file.truncate(CARD_BYTES)
        table = b"label: dos\nstart=8192, size=65536, type=c, bootable\nstart=73728, type=83\n"
        for command, given in ((["sfdisk", "-q", path], table), (["mkfs.vfat", "--offset", "8192", "-n", "FIRMWARE", path, "32768"], b"")):
            subprocess.run(command, input=given, check=True, capture_output=True)
        for source, target in (("/dev/null", "config.txt"), (CLONE / "agent/dist/share/e3.toml.example", "e3.toml.example")):
            subprocess.run(["mcopy", "-i", f"{path}@@4M", source, f"::{target}"], check=True)

    def flash(self, name):
        """She has written the card, and puts it into the Pi, which she switches on."""
        done = subprocess.run(["mtype", "-i", f"{self.folder / name}@@4M", "::e3.toml"], check=True, capture_output=True, text=True)
        self.card = Card(self.lab.folder)
        self.card.write(done.stdout)
        self.card.insert(self.lab["p0"])
        self.boot("p0")

    def droplet(self, join):
        """Ben has made a droplet, with his join file as its user data."""
        self.boot("p2")
        metadata = {"droplet_id": 1, "user_data": (self.folder / join).read_text()}
        self.lab["p2"].write("/run/do-metadata/v1.json", json.dumps(metadata))

    def windows(self, join):
        """Carol has put her join file into her home folder, and double-clicked the image."""
        self.boot("p1")
        self.lab["p1"].write("/mnt/c/Users/carol/e3.toml", (self.folder / join).read_text(), mode="0777")
        self.lab["p1"].run(["ln", "-s", "/mnt/c/Users/carol", "/mnt/c/Users/All Users"])

    def lend(self):
        """Each has put a number on her or his machine, and says who gets it."""
        program = json.loads(self.fleet.e3("session", "show", "salaries.session", "--json").out)["session"]["program"]["pack"]["digest"]
        for name, salary in zip(MACHINES, SALARIES, strict=True):
            self.lab[name].write(INPUT, f"{salary}\n", mode="0600", owner="e3")
            self.lab[name].write("/etc/e3/policy.toml", f'[inputs.salary]\nfile = "{INPUT}"\nprograms = ["{program}"]\n')

    def boot(self, name):
        """A machine is switched on."""
        self.lab.boot([name])

    def enrolled(self):
        """All three are at the door."""
        self.fleet.enrolled(["anna", "ben", "carol"], JOIN_SECONDS)

    def joined(self):
        """All three have met."""
        def all_joined():
            return all(self.mesh(name) == "joined" for name in MACHINES)

        until(all_joined, JOIN_SECONDS, lambda: f"not all have joined: { {name: self.mesh(name) for name in MACHINES} }")

    def mesh(self, name):
        """How a machine stands in the mesh."""
        done = self.lab[name].run(["e3-agent", "status", "--json"], check=False)
        try:
            return json.loads(done.out)["meshes"]["link"]["state"]
        except (ValueError, KeyError):
            return None


def shown(lines, expected):
    """An answer, as the text shows it: whole, or with `[…]` for what the text leaves out."""
    if ANYTHING not in expected:
        return lines
    place = expected.index(ANYTHING)
    before, after = lines[:place], lines[len(lines) - (len(expected) - place - 1):]
    return [*before, ANYTHING, *after]
