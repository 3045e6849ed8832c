"""Real machines on one computer: what `ci/lab` is made of, and what tests and benchmarks import.

    from machines import Lab

    with Lab(3, network="nat") as lab:
        lab["p0"].run(["systemctl", "is-system-running"])
        lab.cut("p0", "p1")

| file | idea |
|---|---|
| `lab`, `record` | a laboratory: brought up, changed, taken down; what is remembered between two commands |
| `place`, `sweep` | which folder and control group belong to which clone; what was left over |
| `cgroup`, `holder`, `inside` | the kernel objects that everything of a laboratory lives in, and how to get into them |
| `rootfs`, `layer`, `install` | the Debian system, overlays, and the agent's files on top of it |
| `network`, `plan`, `cuts` | bridges, NATs, addresses; partitions |
| `machine` | what can be done to every machine |
| `container`, `emulated` | a machine by systemd-nspawn, and one by QEMU |
| `fleet`, `demo` | a fleet of E3 in a laboratory, made as a person would, and what it is shown to do |
| `sandbox`, `faults` | what the agent and a session's program may do, and what they survive |
| `media` | how a join file gets to the agent from the media of the images |
| `clocks` | what a machine does whose clock is wrong |
| `updates` | releases of the agent that work, that do not, and that are not the fleet's |
| `byhand`, `bench` | how it was done before E3, to compare with |
| `selftest` | what the laboratory itself promises, tried |
| `suite` | how tests are run, and what becomes of them when a signal ends that |
| `cli` | the commands of `ci/lab` |
"""

from .failure import LabError
from .lab import Lab
from .machine import CommandFailed, Outcome

__all__ = ["CommandFailed", "Lab", "LabError", "Outcome"]
