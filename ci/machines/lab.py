"""A laboratory: machines, their network, and the hub's place in it.

Made by a program (`with Lab(3) as lab:`) it lives as long as the program, whatever becomes of that. Made by `ci/lab up` it
stays until `ci/lab down`, and each command in between opens it again with `Lab.open`.
"""

import json
import os
import secrets
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from . import cgroup, cuts, install, network, plan, record, rootfs, sweep
from .container import Container, Hub
from .emulated import Emulated
from .failure import LabError, NotUpInTime
from .inside import Holder
from .layer import Layer
from .nixos import Nixos, shape
from .place import DEFAULT, clone_prefix, full_name, locked
from .regions import one_way


def silent(_line):
    """For tests: says nothing."""


def disk(recipe, image):
    """The name of what machines are layered on that are made by the same recipe and have the same image's units."""
    return f"{recipe.name}-{image}" if image else recipe.name


class Lab:
    """Machines `lab["p0"]`, `lab["p1"]`, …, and `lab["hub"]`."""

    def __init__(self, count, *, network_kind="lan", name=None, agent=None, emulated=(), nixos=None, golden=None, mesh=None,
                 regions=(), detached=False, say=silent):
        if not 1 <= count <= plan.MOST_MACHINES:
            raise LabError(f"a laboratory has 1 to {plan.MOST_MACHINES} machines, not {count}")
        self.name = full_name(name or f"held-{os.getpid()}-{secrets.token_hex(2)}")
        self.agent = agent
        self.say = say
        self.folder = sweep.folder(self.name)
        self.group = cgroup.of_lab(self.name)
        self.network = plan.make(network_kind, count)
        if regions:
            self.network = self.network.spread(regions)
        # The names of the machines that have a kernel of their own.
        self.emulated = sorted(set(emulated))
        # The NixOS system (a toplevel, by `realise`) of each machine that runs one.
        self.nixos = dict(nixos or {})
        # The image whose units and settings a machine has instead of those in agent/dist (a folder of ci/golden).
        self.golden = dict(golden or {})
        for machine in [*self.emulated, *self.nixos, *self.golden]:
            if self.network.node(machine) not in self.network.machines:
                raise LabError(f"there is no machine `{machine}`; there are: "
                               + ", ".join(node.name for node in self.network.machines))
        # For machines with a mesh: programs for /usr/bin that Debian has not, beside the daemons that it has, and the device
        # that makes network interfaces.
        self.mesh = mesh
        self.cuts = []
        self.lowers = {}
        self.detached = detached
        self.machines = {}
        self.hub = None
        self.holder = None
        # How long each machine took to boot, in seconds.
        self.booted = {}
        self._held = ExitStack()
        self._child = None

    @classmethod
    def open(cls, name=DEFAULT):
        """The laboratory that `ci/lab up` made."""
        kept = record.load(sweep.folder(full_name(name)))
        if kept is None or not sweep.is_live(full_name(name)):
            again = "" if name == DEFAULT else f" --name {name}"
            others = [other.removeprefix(clone_prefix()) for other in sweep.names() if sweep.is_live(other)]
            what = f"{name} is not up, but there is --name {' or '.join(others)}" if others else "no laboratory is up"
            raise LabError(f"{what}; make it: ci/lab up 3{again}")
        lab = cls(kept.machines, network_kind=kept.network, name=name, emulated=kept.emulated, nixos=kept.nixos,
                  golden=kept.golden, detached=True)
        lab.cuts = kept.cuts
        lab.lowers = {recipe: [Path(path) for path in paths] for recipe, paths in kept.lowers.items()}
        lab._populate(lab.group.child("holder").leader())
        return lab

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    def __getitem__(self, name):
        if name == "hub":
            return self.hub
        try:
            return self.machines[name]
        except KeyError:
            raise LabError(f"there is no machine `{name}`; there are: {', '.join(self.machines)}, hub") from None

    def up(self, boot=True):
        """Makes everything and boots all machines; undoes it all if anything fails."""
        if os.geteuid():
            raise LabError("the lab needs root: it makes namespaces, mounts and network interfaces")
        sweep.left_over(self.say)
        if not self._held.enter_context(locked(sweep.lock(self.name), wait=False)):
            raise LabError(f"somebody else is at work on the laboratory {self.name}")
        try:
            if sweep.is_live(self.name):
                raise LabError("the laboratory is up already; see `ci/lab status`, or take it down: ci/lab down")
            try:
                self._make([(recipe, rootfs.need(recipe, self.say)) for recipe in self._recipes()])
                if boot:
                    self._first_boot()
                self._save()
            except BaseException:
                self._destroy()
                raise
        except BaseException:
            if not self.folder.exists():
                sweep.lock(self.name).unlink(missing_ok=True)
            self._held.close()
            raise
        if self.detached:
            self._held.close()

    def _recipes(self):
        """The systems that its machines are made of."""
        return list(dict.fromkeys(self._kind(node)[1] for node in self.network.machines))

    def _kind(self, node):
        """What a machine is, and what it is made of."""
        if node.name in self.nixos:
            return partial(Nixos, system=self.nixos[node.name]), rootfs.NIXOS
        if node.name in self.emulated:
            return Emulated, rootfs.EMULATED
        return Container, rootfs.CONTAINER if self.mesh is None else rootfs.MESHES

    def _make(self, roots):
        self.folder.mkdir(mode=0o700)
        self.group.create()
        self._populate(self._hold())
        network.build(self.holder, self.network, self.emulated)
        if self.network.regions:
            self._keep_apart()
        if self.mesh is not None:
            # One of our own: the host's may be root's alone.
            os.mknod(self.folder / "tun", 0o666 | stat.S_IFCHR, os.makedev(10, 200))
            os.chmod(self.folder / "tun", 0o666)
        for recipe, root in roots:
            self.lowers[recipe.name] = [root]
            if recipe is rootfs.NIXOS:
                # The agent is part of the system.
                self.lowers[recipe.name] = [*shape(self.folder / "nixos"), root]
            elif self.agent:
                for image in {self.golden.get(node.name) for node in self.network.machines if self._kind(node)[1] is recipe}:
                    layer = Layer(self.folder / f"installed-{disk(recipe, image)}", [root])
                    layer.create()
                    install.install(self.holder, layer, self.agent, image, self.mesh or ())
                    self.lowers[disk(recipe, image)] = [layer.upper, root]
        self._populate(self.holder.pid)
        for machine in self.machines.values():
            machine.create({} if machine.name in self.nixos else self._identity(machine.name))

    def _keep_apart(self):
        """Starts what stands for the distance between regions; it ends with this program."""
        wanted = {"regions": self.network.regions, "one_way_ms": one_way(self.network.regions.values())}
        script = str(Path(__file__).with_name("distance.py"))
        distance = self.hub.start(["ip", "netns", "exec", network.DISTANCE, sys.executable, "-I", script, json.dumps(wanted)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if distance.stdout.readline() != "ready\n":
            raise LabError(f"there is no distance between the regions: `{script}` does not start")

    def _first_boot(self):
        try:
            self.boot()
        except NotUpInTime as error:
            # A program cannot do anything with half a laboratory; a person can look at it.
            if not self.detached:
                raise
            self.say(f"warning: {error}")

    def _hold(self):
        """Starts the process that everything else lives in, and returns its number."""
        group = self.group.child("holder")
        group.create()
        join = 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"'
        unshare = ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc",
                   "--propagation", "private", "--"]
        holder = [sys.executable, "-I", str(Path(__file__).with_name("holder.py"))]
        complaints = self.folder / "holder.log"
        # Not our own standard error: what outlives us would keep open whatever pipe that is.
        with open(complaints, "wb") as log:
            self._child = subprocess.Popen(
                ["sh", "-c", join, "sh", group.path, *unshare, *holder, *([] if self.detached else ["--held"])], stderr=log,
                stdin=subprocess.DEVNULL if self.detached else subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", start_new_session=True)
        if self._child.stdout.readline() != b"ready\n":
            raise LabError("the laboratory's namespaces cannot be made: " + complaints.read_text(errors="replace").strip())
        return group.leader()

    def _populate(self, holder_pid):
        self.holder = Holder(holder_pid)
        self.hub = Hub(self.holder)
        self.machines = {node.name: self._machine(node) for node in self.network.machines}

    def _machine(self, node):
        kind, recipe = self._kind(node)
        lowers = self.lowers.get(disk(recipe, self.golden.get(node.name)), [])
        machine = kind(node, self.folder / node.name, lowers, self.group.child(node.name), self.holder)
        if self.mesh is not None and machine.kind != Emulated.kind:
            machine.options.append(f"--bind={self.folder / 'tun'}:/dev/net/tun")
        return machine

    def _identity(self, name):
        """What tells a machine from the others, before it first boots."""
        hosts = {"localhost": "127.0.0.1", "hub": plan.HUB} | {node.name: node.address for node in self.network.machines}
        return {
            "etc/machine-id": secrets.token_hex(16) + "\n",
            "etc/hostname": name + "\n",
            "etc/hosts": "".join(f"{address} {host}\n" for host, address in hosts.items()),
        }

    def _save(self):
        record.save(self.folder, record.Record(
            name=self.name, clone=str(Path(__file__).parents[2]), network=self.network.kind, machines=len(self.machines),
            lowers={recipe: [str(path) for path in paths] for recipe, paths in self.lowers.items()},
            emulated=self.emulated, nixos=self.nixos, golden=self.golden, detached=self.detached, cuts=self.cuts))

    def boot(self, names=None):
        """Boots these machines (default: all) at the same time."""
        machines = [self[name] for name in names or self.machines]
        with ThreadPoolExecutor(len(machines)) as pool:
            boots = {machine.name: pool.submit(machine.boot) for machine in machines}
            try:
                late = [error for error in map(self._note_boot, boots, boots.values()) if error]
            except BaseException:
                # So that nobody waits for the other ones.
                for machine in machines:
                    machine.group.kill()
                raise
        if late:
            raise NotUpInTime("\n".join(map(str, late)))

    def _note_boot(self, name, boot):
        try:
            self.booted[name] = boot.result()
        except NotUpInTime as error:
            return error
        return None

    def cut(self, *names):
        """Partitions: everything to and from one, or all between two."""
        if not 1 <= len(names) <= 2:
            raise LabError("a cut has one name (it is cut off from everybody) or two (they are cut off from each other)")
        cuts.check(self.network, names)
        if list(names) not in self.cuts:
            self._cut([*self.cuts, list(names)])

    def heal(self):
        """Takes back all cuts."""
        self._cut([])

    def _cut(self, wanted):
        cuts.apply(self.holder, self.network, wanted)
        self.cuts = wanted
        self._save()

    def status(self):
        """What there is, as data."""
        machines = [
            {"name": node.name, "kind": self[node.name].kind, "address": node.address, "behind": node.switch,
             "state": self[node.name].state(), "boot_seconds": self.booted.get(node.name)}
            for node in self.network.machines
        ]
        return {"name": self.name, "network": self.network.kind, "hub": plan.HUB, "cuts": self.cuts, "machines": machines}

    def down(self):
        """Ends everything and removes everything."""
        if self.detached:
            self._held.enter_context(locked(sweep.lock(self.name)))
        self._destroy()
        sweep.lock(self.name).unlink(missing_ok=True)
        self._held.close()

    def _destroy(self):
        sweep.destroy(self.name)
        if self._child is not None:
            self._child.communicate()
            self._child = None
