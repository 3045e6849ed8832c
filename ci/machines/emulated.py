"""A machine by QEMU, without hardware support: a kernel, a clock, a disk and control groups of its own. Slow (its boot takes
half a minute), and for what containers cannot have:

- a clock that is wrong, at boot (`rtc`) or suddenly (`shift_clock`);
- a power cut that loses what the kernel had not written to the disk yet. What it had written survives, even if the disk was
  never asked to flush: a disk that lies is not emulated;
- limits on memory, processors and processes that are enforced;
- a network that delays and drops (`netem`).

Commands come by ssh over a second network interface, which is put away in a namespace of its own: the machine itself never
sees it, and no cut touches it.
"""

import os
import shlex
import subprocess
import time

from .failure import LabError, NotUpInTime
from .inside import TOGETHER, enter
from .layer import Layer
from .machine import Machine
from .network import namespace

BOOT_SECONDS = 240
# Now and then QEMU 7.2 runs an instruction that the kernel, on its other processor, is just patching; it is not the next time.
BOOTS = 3
# Between two attempts to reach it while it boots.
TRY_SECONDS = 1
MEMORY = "768M"
DISK = "3G"
# The ports on which QEMU forwards to the machines' ssh, in the namespace that it runs in: this and the ones above.
FIRST_PORT = 2200

COMMAND_LINE = ("root=/dev/nvme0n1 rootwait rw console=ttyS0 quiet net.ifnames=0 mitigations=off nowatchdog panic=-1 "
                "random.trust_cpu=on systemd.show_status=1 systemd.getty_auto=no")
# Units that take an emulated processor many seconds and find nothing to do in a machine whose few devices are known.
NOT_NEEDED = (
    "systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udev-trigger.service",
    "systemd-udev-load-credentials.service", "getty@tty1.service", "dev-hugepages.mount", "dev-mqueue.mount",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount",
    "modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service", "modprobe@fuse.service",
    "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service", "ldconfig.service", "systemd-journal-catalog-update.service",
    "systemd-hwdb-update.service",
)

CHANNEL = """\
[Unit]
Description=The laboratory's way in
DefaultDependencies=no
After=sysinit.target
Wants=sysinit.target
[Service]
Type=notify
RuntimeDirectory=sshd
ExecStartPre=/bin/sh -ec 'ip netns add lab; ip link set eth1 netns lab; ip -n lab link set lo up; \\
  ip -n lab address add 10.0.2.15/24 dev eth1; ip -n lab link set eth1 up'
ExecStart=/usr/bin/ip netns exec lab /usr/sbin/sshd -D -o UseDNS=no -o UsePAM=no -o PermitRootLogin=prohibit-password
[Install]
WantedBy=multi-user.target
"""
NETWORK = """\
[Unit]
Description=The laboratory's network
DefaultDependencies=no
After=sysinit.target
Before=network.target
Wants=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'ip address add {address}/24 dev eth0; ip link set eth0 up; ip route add default via {gateway}'
[Install]
WantedBy=multi-user.target
"""


class Panicked(LabError):
    """Its kernel gave up while it booted."""


class Emulated(Machine):
    """One of a laboratory's machines."""

    kind = "emulated"

    def __init__(self, node, folder, lowers, group, holder):
        self.name = node.name
        self.node = node
        self.folder = folder
        self.layer = Layer(folder, lowers)
        self.group = group
        self.holder = holder
        # What its hardware clock says when it boots: an ISO time, or "utc".
        self.rtc = "utc"

    def create(self, files):
        """Makes its disk: an image of the system with `files` on it."""
        self.layer.create()
        key = self.folder / "key"
        for path in (key, self.folder / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", path], check=True)
        files = files | {
            "etc/systemd/system/lab-channel.service": CHANNEL,
            "etc/systemd/system/lab-network.service": NETWORK.format(address=self.node.address, gateway=self.node.gateway),
            "etc/ssh/ssh_host_ed25519_key": (self.folder / "host_key").read_text(),
            "root/.ssh/authorized_keys": key.with_suffix(".pub").read_text(),
            # There is no udev to find the network interfaces.
            "etc/modules-load.d/lab.conf": "virtio_net\n",
            # The clock of a new disk says that everything was updated, so nothing is done about it at boot.
            "etc/.updated": "", "var/.updated": "",
        }
        for path, text in files.items():
            target = self.layer.upper / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        (self.layer.upper / "etc/ssh/ssh_host_ed25519_key").chmod(0o600)
        (self.layer.upper / "root").chmod(0o700)
        host = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self._port()} {host}")
        self._image()

    def _image(self):
        """Turns the layers into a disk and what QEMU boots; no loop device is needed for that."""
        root = self.layer.root
        script = "\n".join([
            "set -e", self.layer.script(), f"chroot '{root}' systemctl --quiet enable lab-channel lab-network",
            f"chroot '{root}' systemctl --quiet mask {' '.join(NOT_NEEDED)}", f"cp '{root}'/boot/vmlinuz-* '{self.folder}/kernel'",
            f"mke2fs -q -t ext4 -d '{root}' '{self.folder}/disk' {DISK}"])
        done = subprocess.run([*enter(self.holder.pid), "unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"the disk of {self.name} cannot be made: {done.stderr.strip()}")

    def _port(self):
        return FIRST_PORT + int(self.name[1:])

    def _here(self):
        """The command that goes where this machine's switch is."""
        where = namespace(self.node.switch)
        return [*enter(self.holder.pid), *(["ip", "netns", "exec", where] if where else [])]

    def boot(self, seconds=BOOT_SECONDS):
        """See `Machine`."""
        if self.is_on():
            raise LabError(f"{self.name} is on")
        for left in reversed(range(BOOTS)):
            try:
                return self._boot(seconds)
            except Panicked:
                if not left:
                    raise

    def _boot(self, seconds):
        begin = time.monotonic()
        self._launch()
        end = begin + seconds
        while self.run(["systemctl", "is-system-running", "--wait"], check=False).status not in (0, 1):
            if not self.is_on():
                error = Panicked if "Kernel panic" in self.console() else LabError
                raise error(f"{self.name} did not boot; its console:\n{self.console()[-3000:]}")
            if time.monotonic() > end:
                raise NotUpInTime(f"{self.name} was not up in time; its console:\n{self.console()[-3000:]}")
            time.sleep(TRY_SECONDS)
        return time.monotonic() - begin

    def _launch(self):
        """Starts QEMU as a child of the holder, in a group of its own."""
        self.group.create()
        number = int(self.name[1:])
        qemu = [
            # Without cmpxchg16b, which QEMU 7.2 gets wrong: the kernel ends in a double fault where it allocates memory.
            "qemu-system-x86_64", "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "Nehalem,-cx16,+rdrand",
            "-smp", "2", "-m", MEMORY,
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", self.folder / "kernel", "-append", COMMAND_LINE,
            # The one kind of disk that Debian's cloud kernel can read without modules, that is without an initial file system.
            "-drive", f"file={self.folder}/disk,format=raw,if=none,id=disk,cache=writeback", "-device", "nvme,drive=disk,serial=lab",
            "-netdev", f"tap,id=lab,ifname={self.name},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=lab,mac=52:54:00:00:00:{number:02x}",
            "-netdev", f"user,id=way-in,restrict=on,hostfwd=tcp:127.0.0.1:{self._port()}-10.0.2.15:22",
            "-device", "virtio-net-pci,netdev=way-in",
            "-serial", f"file:{self.folder}/console.log", "-rtc", f"base={self.rtc}",
        ]
        script = 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"'
        command = ["sh", "-c", script, "sh", self.group.path, *self._here(), "setsid", "--fork", *qemu]
        with open(self.folder / "qemu.log", "ab") as log:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)

    def console(self):
        """What came out of its console since it last got power, and what QEMU complained of."""
        said = ""
        for name in ("qemu.log", "console.log"):
            try:
                said += (self.folder / name).read_text(errors="replace")
            except FileNotFoundError:
                continue
        return said

    def is_on(self):
        """See `Machine`."""
        return self.group.populated()

    def power_cut(self):
        """See `Machine`."""
        if not self.is_on():
            raise LabError(f"{self.name} is off")
        self.group.remove()

    def command(self, argv, user=None, terminal=False):
        """Over ssh, into the namespaces of the machine's own process 1."""
        if not self.is_on():
            raise LabError(f"{self.name} is off, and the disk of an emulated machine can be read only while it is on")
        as_user = ["runuser", "-u", user, "--"] if user else []
        inner = ["nsenter", "--target", "1", "--mount", "--net", "--", *as_user, *map(str, argv)]
        options = {
            "IdentityFile": self.folder / "key", "UserKnownHostsFile": self.folder / "known_hosts", "StrictHostKeyChecking": "yes",
            # One connection for all commands: each new one takes a second of the emulated processor.
            "ControlMaster": "auto", "ControlPath": self.folder / "ssh", "ControlPersist": "60",
            "ConnectTimeout": "10", "BatchMode": "yes", "LogLevel": "ERROR",
        }
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return [*self._here(), *TOGETHER, "ssh", "-F", os.devnull, *flags, "-t" if terminal else "-T", "-p", str(self._port()),
                "root@127.0.0.1", shlex.join(inner)]

    def shift_clock(self, offset):
        """Sets its clock forward or back, at once, as a broken time server would; `offset` in seconds."""
        self.run(["sh", "-c", f"date --utc --set=@$(($(date +%s) + {int(offset)}))"])

    def netem(self, how):
        """Delays, drops or reorders what it sends, such as "delay 50ms 10ms loss 1%"; "" ends that."""
        self.run(["tc", "qdisc", "replace", "dev", "eth0", "root", *(["netem", *how.split()] if how else ["pfifo"])])
