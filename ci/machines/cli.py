"""The commands of `ci/lab`."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from eval import golden

from . import plan, sweep
from .failure import LabError
from .lab import Lab
from .place import DEFAULT

ABOUT = """\
A laboratory of real machines on one computer: each has its own systemd as process 1, D-Bus, polkit, disk (an overlay over
one Debian trixie system), network namespace and addresses. Machines are called p0, p1, …; hub is the place in the network
where a hub or an owner would be, with the files of this computer."""
NEEDS = """\
what it needs from this computer:
  root (or sudo), Linux 5.14 or newer with overlayfs, veth, bridge, nftables and cgroup2. systemd need not be its process 1,
  and cgroup version 1 may be mounted beside version 2: the lab unshares a mount namespace and mounts a pure cgroup2 tree
  there. Limits on memory and CPU are enforced only where the host has no version 1 of these controllers. IPAddressDeny= and
  the like need cgroup BPF in the kernel. The Debian system is built on first use (about a minute, 230 MB) from
  E3_DEBIAN_MIRROR (default http://deb.debian.org/debian) and kept in the cache folder.

what it leaves: nothing. When a laboratory's first process ends, the kernel takes down its processes, mounts and
  interfaces; folders of one that was killed are removed by the next `up` or `down` of the same clone."""


def parser():
    """The command line."""
    top = argparse.ArgumentParser(prog="ci/lab", description=ABOUT, epilog=NEEDS,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default=DEFAULT, help="which laboratory of this clone, if there are several (default: %(default)s)")
    common.add_argument("--json", action="store_true", help="print JSON")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(action, brief, **more):
        sub = commands.add_parser(action.__name__.replace("_", "-"), help=brief, description=brief, parents=[common], **more)
        sub.set_defaults(action=action)
        return sub

    sub = command(up, "make a laboratory and boot its machines; prints what there is when all are up")
    sub.add_argument("machines", nargs="?", type=int, default=3, help="how many (default: %(default)s)")
    sub.add_argument("--network", choices=plan.NETWORKS, default="lan", help="lan: one bridge; nat: two LANs behind two NATs; "
                     "symmetric: NATs with random source ports (default: %(default)s)")
    sub.add_argument("--emulate", action="append", default=[], metavar="MACHINE", help="this machine by QEMU, with a kernel, clock "
                     "and disk of its own; it takes a minute or so to boot (repeatable)")
    sub.add_argument("--image", choices=golden.images(), help="with the units and settings that this image ships (ci/golden), instead of "
                     "those in agent/dist; `ci/nix boot` boots the whole NixOS system of an image")
    sub.add_argument("--bare", action="store_true", help="without the agent; otherwise it is the binary that E3_AGENT names, or a "
                     "fresh build of this clone, with the files of agent/dist (or of E3_DIST)")
    command(down, "take the laboratory down, and whatever is left of earlier ones of this clone")
    command(status, "show machines, addresses and cuts")
    sub = command(exec_, "run a command in a machine, or in the hub's place")
    sub.add_argument("--user", help="as this user (default: root)")
    sub.add_argument("machine")
    sub.add_argument("argv", nargs="*", metavar="-- COMMAND …")
    command(shell, "a shell in a machine").add_argument("machine")
    sub = command(cut, "drop all packets between two (machines, routers r0 r1, hub), or everything to and from one")
    sub.add_argument("names", nargs="+", metavar="NAME")
    command(heal, "take back all cuts")
    sub = command(kill, "send a signal to all processes of a unit")
    sub.add_argument("--signal", default="KILL", help="(default: %(default)s)")
    sub.add_argument("machine")
    sub.add_argument("unit")
    command(power_cut, "take a machine's power away; `boot` gives it back").add_argument("machine")
    command(boot, "boot a machine that is off, with the disk it had").add_argument("machine")
    sub = command(clock, "set a machine's clock forward or back")
    sub.add_argument("machine")
    sub.add_argument("offset", type=offset, help="such as +3650d or -2h (s, m, h, d)")
    sub = command(logs, "show a machine's journal, or its console")
    sub.add_argument("--console", action="store_true", help="what came out of its console")
    sub.add_argument("machine")
    sub.add_argument("unit", nargs="?")
    sub = command(demo_, "three machines compute something together, as a new user would do it")
    sub.add_argument("--network", choices=("lan",), default="lan", help=argparse.SUPPRESS)
    sub = command(tutorial_, "do what images/tutorial.md says, and compare what it shows with what happens")
    sub.add_argument("--write", action="store_true", help="put what happened into the text instead")
    sub = command(faults_, "the table of faults: states of a session × what can happen to a machine")
    sub.add_argument("--only", action="append", metavar="FAULT", help="only faults whose name has this in it (repeatable)")
    sub.add_argument("--state", action="append", help="only this state (repeatable)")
    sub.add_argument("--quick", action="store_true", help="each state and each fault at least once, in two minutes; all of it takes ten")
    sub.add_argument("--emulate", action="store_true", help="jumping clocks, too, on a machine by QEMU: half an hour more")
    sub.add_argument("--markdown", action="store_true", help="print the table of ci/machines/faults/README.md")
    command(sandbox_, "try what the agent may do on a machine, what a session's program may, and what they survive")
    command(media_, "join files on the media of each image: a card, user data, Windows' folders, a credential, a variable")
    sub = command(updates_, "release agents that work and agents that do not, and try what a machine makes of them")
    sub.add_argument("tests", nargs="*", metavar="TESTS", help="only these: good, busy, bad, foreign or full (default: all)")
    sub = command(meshes_, "every mesh behind every kind of NAT: joining, sessions, and what goes wrong")
    sub.add_argument("--backend", action="append", help="only this backend (repeatable)")
    sub.add_argument("--nat", action="append", help="only this kind of NAT (repeatable)")
    sub.add_argument("--bench", action="store_true", help="measure instead, for `ci/bench meshes`")
    sub.add_argument("--regions", type=regions, default=(), metavar="REGIONS",
                     help="machines in these regions of DigitalOcean, such as ams3,nyc3,sgp1, by a model of the distances: joining, a session, `e3 eval`")
    sub.add_argument("--report", type=Path, metavar="DIR", help="with --regions: all sizes, and `e3 eval`'s report of all backends into this folder")
    sub.add_argument("--bad", action="store_true", help="only what a mesh cannot work with (a port that is taken, a broken DNS, …), and moving to another")
    sub.add_argument("--short", action="store_true", help="two kinds of NAT instead of all, and of most backends only what they must do at least; in six minutes")
    sub.add_argument("--markdown", action="store_true", help="print the table of modules/mesh/README.md")
    sub = command(nixos, "boot the NixOS systems of the images, realised without a cache; `ci/nix boot` calls it")
    sub.add_argument("--bench", action="store_true", help="measure instead, for `ci/bench nix`")
    command(bench_, "E3 beside prsync and pssh, on the same machines; `ci/bench lab` calls it")
    sub = command(clocks_, "a machine whose clock says 1970, and one whose clock says 2099, in a fleet; takes minutes")
    sub.add_argument("tests", nargs="*", metavar="TESTS", help="only these: past, future or mesh (default: all)")
    command(test, "try what the lab promises, with laboratories of its own")
    return top


def arguments(argv):
    """The command line, read. Options may stand anywhere before `--`, which argparse by itself does not do for `exec`."""
    end = argv.index("--") if "--" in argv else len(argv)
    top = parser()
    args = top.parse_args(argv[:end])
    command = argv[end + 1:]
    if command and not hasattr(args, "argv"):
        top.error("only exec takes a command")
    if command:
        args.argv = [*args.argv, *command]
    return args


def regions(text):
    """Some of DigitalOcean's, from a text such as `ams3,sgp1`."""
    from .regions import PLACES

    found = text.split(",")
    unknown = [region for region in found if region not in PLACES]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no region {unknown[0]!r}; there are: {', '.join(PLACES)}")
    return found


def offset(text):
    """Seconds, from a text such as `-2h`."""
    found = re.fullmatch(r"([+-]?\d+)([smhd]?)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time span such as +3650d or -2h")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def say(line):
    """Progress, for a person."""
    print(line, file=sys.stderr, flush=True)


def up(args):
    """`ci/lab up`."""
    agent = None if args.bare else os.environ["E3_AGENT"]
    images = {f"p{i}": args.image for i in range(args.machines)} if args.image else {}
    lab = Lab(args.machines, network_kind=args.network, name=args.name, agent=agent, emulated=args.emulate, golden=images,
              detached=True, say=say)
    lab.up()
    show(lab, args)


def down(args):
    """`ci/lab down`."""
    try:
        Lab.open(args.name).down()
    except LabError:
        if not sweep.left_over(say):
            raise


def status(args):
    """`ci/lab status`."""
    show(Lab.open(args.name), args)


def show(lab, args):
    """Prints what there is."""
    now = lab.status()
    if args.json:
        print(json.dumps(now))
        return
    print(f"network {now['network']}, hub {now['hub']}, cuts: {'; '.join(' '.join(cut) for cut in now['cuts']) or 'none'}")
    for machine in now["machines"]:
        seconds = machine["boot_seconds"]
        took = f", booted in {seconds:.2f} s" if seconds else ""
        print(f"{machine['name']:4} {machine['address']:15} at {machine['behind']:4} {machine['kind']}, {machine['state']}{took}")


def exec_(args):
    """`ci/lab exec`: becomes the command, so that its status, streams and signals are the caller's."""
    if not args.argv:
        raise LabError("which command? e.g. ci/lab exec p0 -- systemctl status")
    command = Lab.open(args.name)[args.machine].command(args.argv, args.user)
    os.execvp(command[0], [str(part) for part in command])


exec_.__name__ = "exec"


def shell(args):
    """`ci/lab shell`."""
    # `script` gives it a terminal of the machine's own.
    command = Lab.open(args.name)[args.machine].command(["script", "-qc", "bash -l", "/dev/null"], terminal=True)
    os.execvp(command[0], [str(part) for part in command])


def cut(args):
    """`ci/lab cut`."""
    Lab.open(args.name).cut(*args.names)


def heal(args):
    """`ci/lab heal`."""
    Lab.open(args.name).heal()


def kill(args):
    """`ci/lab kill`."""
    Lab.open(args.name)[args.machine].kill(args.unit, args.signal)


def power_cut(args):
    """`ci/lab power-cut`."""
    Lab.open(args.name)[args.machine].power_cut()


def boot(args):
    """`ci/lab boot`."""
    lab = Lab.open(args.name)
    lab.boot([args.machine])
    say(f"{args.machine} is up after {lab.booted[args.machine]:.2f} s")


def clock(args):
    """`ci/lab clock`."""
    Lab.open(args.name)[args.machine].shift_clock(args.offset)


def logs(args):
    """`ci/lab logs`."""
    machine = Lab.open(args.name)[args.machine]
    if args.console:
        print(machine.console(), end="")
    else:
        print(machine.journal(args.unit, *(["--output=json"] if args.json else [])), end="")


def demo_(args):
    """`ci/lab demo`."""
    from . import demo

    demo.run(args, say)


demo_.__name__ = "demo"


def tutorial_(args):
    """`ci/lab tutorial`."""
    from . import tutorial

    if not tutorial.run(args.write, say):
        raise LabError("the tutorial does not say what happens; if that is better, write it down: ci/lab tutorial --write")


tutorial_.__name__ = "tutorial"


def faults_(args):
    """`ci/lab faults`."""
    from .faults import table

    if not table.run(args, say):
        raise LabError("there are cells that failed")


faults_.__name__ = "faults"


def sandbox_(_args):
    """`ci/lab sandbox`."""
    from . import sandbox

    if not sandbox.run():
        raise LabError("the sandbox does not keep what it promises")


sandbox_.__name__ = "sandbox"


def media_(_args):
    """`ci/lab media`."""
    from . import media

    if not media.run():
        raise LabError("a join file does not get to the agent as it should")


media_.__name__ = "media"


def updates_(args):
    """`ci/lab updates`."""
    from . import updates

    if not updates.run(args.tests):
        raise LabError("the agent's updates do not do what they promise")


updates_.__name__ = "updates"


def meshes_(args):
    """`ci/lab meshes`."""
    from .meshes import bench, table

    if args.bench:
        bench.run(args, say)
    elif not table.run(args, say):
        raise LabError("there are cells that failed")


meshes_.__name__ = "meshes"


def nixos(args):
    """`ci/lab nixos`."""
    from . import images

    if args.bench:
        from .images import bench

        bench.run(say)
        return
    if not images.run(say, args.json):
        raise LabError("an image does not boot as it should")


def bench_(args):
    """`ci/lab bench`."""
    from . import bench

    bench.run(args, say)


bench_.__name__ = "bench"


def clocks_(args):
    """`ci/lab clocks`."""
    from . import clocks

    if not clocks.run(args.tests):
        raise LabError("a wrong clock does what it must not do")


clocks_.__name__ = "clocks"


def test(_args):
    """`ci/lab test`."""
    # Not always needed, and it imports unittest.
    from . import selftest

    if not selftest.run():
        raise LabError("the lab does not keep what it promises")


# What ends a command early.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal ends the command. It is of this kind because unittest takes everything else for an error of the test that
    runs, and goes on with the next."""

    def __init__(self, number):
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.status = 128 + number


def stop(number, _frame):
    """What was begun is taken down on the way out, and a second signal must not end that."""
    for other in STOPS:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def main():
    """Runs one command; its exit status is returned."""
    try:
        for number in STOPS:
            signal.signal(number, stop)
        args = arguments(sys.argv[1:])
        args.action(args)
    except Stopped as error:
        say(f"error: {error}")
        return error.status
    except LabError as error:
        say(f"error: {error}")
        return 1
    except subprocess.CalledProcessError as error:
        say(f"error: {error}")
        return 1
    return 0
