"""A hostile program in a real session: what it finds, whom it reaches, what it becomes.

The program tries and prints what it could do; nothing else of it counts. Each thing that it must not reach is there and
can be reached from outside, which the tests show first.
"""

import json
import textwrap

from .sessions import until
from .case import AGENT, SLOW, FleetCase

SECRET = "4711"
# Runs a function for each thing, and prints those that it could do.
HOSTILE = """
import ctypes, json, mmap, os, socket, subprocess, sys
from mpyc.runtime import mpc
mpc.run(mpc.start())
libc = ctypes.CDLL(None, use_errno=True)
def check(status):
    if status < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def attempt(name, function, *args):
    try: done = function(*args)
    except BaseException as error: refused[name] = f"{type(error).__name__}: {error}"
    else: could[name] = str(done)[:200]
could, refused = {}, {}
args = json.loads(sys.argv[1])
# BODY
print(json.dumps({"could": could, "refused": refused}))
mpc.run(mpc.shutdown())
"""
FILES = """
def read(path):
    with open(path, "rb") as file: return file.read(100)
def write(path):
    with open(path, "a") as file: file.write("x")
for path in args["read"]: attempt("read " + path, read, path)
for path in args["list"]: attempt("list " + path, os.listdir, path)
for path in args["write"]: attempt("write " + path, write, path)
"""
NETWORK = """
def tcp(host, port):
    with socket.create_connection((host, port), 1.5) as s: return s.recv(10)
def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: s.sendto(b"x", (host, port))
def family(which): socket.socket(which, socket.SOCK_RAW)
def unix(path):
    with socket.socket(socket.AF_UNIX) as s: s.connect(path)
for host, port in args["hosts"]:
    attempt(f"tcp {host} {port}", tcp, host, port)
    attempt(f"udp {host} {port}", udp, host, port)
for name in ["AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG", "AF_INET"]: attempt(name, family, getattr(socket, name))
for path in args["sockets"]: attempt("unix " + path, unix, path)
"""
PRIVILEGES = """
def setuid(): os.setuid(0)
def suid():
    done = subprocess.run(["/usr/bin/su", "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.stdout.strip() != "0": raise OSError(done.stderr)
def execute():
    with open("/work/x", "w") as file: file.write("#!/bin/sh\\necho run")
    os.chmod("/work/x", 0o755)
    return subprocess.run(["/work/x"], capture_output=True, check=True).stdout
def set_suid():
    with open("/work/y", "w") as file: pass
    os.chmod("/work/y", 0o4755)
def writable_code(): mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
def processes():
    found = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
    if not found: raise OSError("no other process to see")
    return found
for name in ["setuid", "suid", "execute", "set_suid", "writable_code", "processes"]: attempt(name, globals()[name])
attempt("device", os.mknod, "/work/null", 0o20666, os.makedev(1, 3))
for name, call in {
    "user namespace": lambda: libc.unshare(0x10000000), "mount namespace": lambda: libc.unshare(0x20000),
    "network namespace": lambda: libc.unshare(0x40000000), "mount": lambda: libc.mount(b"none", b"/work", b"tmpfs", 0, None),
    "host name": lambda: libc.sethostname(b"x", 1), "chroot": lambda: libc.chroot(b"/work"),
    "ptrace": lambda: libc.ptrace(16, args["pids"][0], 0, 0), "bpf": lambda: libc.syscall(321, 0, 0, 0),
    "keyring": lambda: libc.syscall(250, 0, -3, 0), "real time": lambda: libc.sched_setscheduler(0, 1, b"\\1\\0\\0\\0"),
    "clock": lambda: libc.settimeofday(b"\\0" * 16, None), "more privileges": lambda: libc.prctl(38, 0, 0, 0, 0),
}.items():
    attempt(name, lambda: check(call()))
for pid in args["pids"]:
    attempt(f"kill {pid}", os.kill, pid, 0)
"""
LISTENER = """
import socket
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", 7999))
server.listen()
while True:
    connection, _ = server.accept()
    connection.sendall(b"hello")
    connection.close()
"""


class Inside(FleetCase):
    """Three machines; the hostile sessions are of two of them."""

    machines = 3

    def hostile(self, body, **args):
        """Runs a hostile program on p0 and p1; returns what it could do on p0, and what it was refused."""
        program = HOSTILE.replace("# BODY", textwrap.dedent(body))
        name = self.fleet.push(program, parties=["p0", "p1"], args=[json.dumps(args)])
        self.assert_good(self.fleet.watch(name))
        told = json.loads(self.fleet.result("p0", name))
        return told["could"], told["refused"]

    def test_files(self):
        self.p0.write("/etc/e3/salary", SECRET, mode="0600", owner="e3")
        self.p0.write("/etc/e3/policy.toml", '[inputs.salary]\nfile = "/etc/e3/salary"\nsessions = ["session-*"]\n')
        # Somebody else's session, in the middle.
        victim = self.fleet.push(SLOW.replace("range(40)", "range(200)"), tables='[inputs]\nsalary = ["p0"]\n')
        unit = self.running_unit()
        job = unit.removeprefix("e3-party@").removesuffix(".service")
        pid, agent = self.show(unit, "MainPID"), self.show(AGENT, "MainPID")
        session = self.p0.run(["sh", "-c", "ls -d /var/lib/e3/sessions/*/inputs"]).out.split()[0]
        secrets = [
            f"/run/credentials/{unit}/input_salary", f"/run/e3party/{job}/inputs/salary", f"{session}/salary",
            f"/proc/{pid}/root/inputs/salary", "/etc/e3/salary", f"/proc/{pid}/environ", f"/proc/{agent}/environ",
            "/var/lib/e3/identity.pem", "/etc/e3/policy.toml", "/etc/e3/e3.toml", "/etc/shadow", "/etc/passwd",
            "/var/lib/e3/joined.json", "/run/e3/agent.sock",
        ]
        identity = self.p0.run(["sh", "-c", "grep -rl 'PRIVATE KEY' /var/lib/e3 --include=*.pem --include=*key* | head -1"]).out
        secrets.append(identity.strip())
        there = [path for path in secrets if self.p0.succeeds(["test", "-e", path])]
        for path in [f"/run/credentials/{unit}/input_salary", f"{session}/salary", identity.strip(), "/etc/e3/policy.toml"]:
            self.assertIn(path, there)
        self.assertEqual(self.p0.read(f"/run/credentials/{unit}/input_salary"), SECRET)
        could, refused = self.hostile(
            FILES,
            read=[*there, "/run/e3/program/session-1.py", "/usr/bin/python3"],
            list=["/home", "/etc/e3", "/var/lib", "/var/log", "/boot", "/srv", "/run/systemd", "/run/dbus", "/run/e3party",
                  f"/run/credentials/{unit}", "/sys/fs/cgroup/system.slice", "/work"],
            write=["/etc/x", "/usr/x", "/run/x", "/run/e3/mpyc/mpyc/__init__.py", "/run/e3/session/gate.py", "/sys/x",
                   "/proc/sys/kernel/hostname", "/x", "/work/x", "/tmp/x", "/dev/shm/x"],
        )
        self.assert_good(self.fleet.watch(victim))
        self.assertEqual(sorted(could), sorted(["read /usr/bin/python3", "list /work", "list /run/systemd",
                                                "write /work/x", "write /tmp/x", "write /dev/shm/x"]), refused)
        self.assertNotIn(SECRET, str(could))
        # The session that the input is for had it.
        self.assert_nothing_left()

    def test_its_own_input_and_program(self):
        self.p0.write("/etc/e3/salary", SECRET, mode="0600", owner="e3")
        self.p0.write("/etc/e3/table", "x" * (3 << 20), mode="0600", owner="e3")
        policy = "".join(f'[inputs.{name}]\nfile = "/etc/e3/{name}"\nsessions = ["session-*"]\n' for name in ["salary", "table"])
        self.p0.write("/etc/e3/policy.toml", policy)
        program = """
            import os
            from mpyc.runtime import mpc
            mpc.run(mpc.start())
            inputs = os.environ["E3_INPUTS"]
            for name in sorted(os.listdir(inputs)):
                print(name, len(open(f"{inputs}/{name}").read()))
            open("own.txt", "w").write("mine")
            print(sorted(os.environ), os.getcwd(), open(__file__).read(7))
            try: open(__file__, "a")
            except OSError as error: print(error.strerror)
            mpc.run(mpc.shutdown())
        """
        name = self.fleet.push(textwrap.dedent(program).replace("\n", "\n", 1), parties=["p0", "p1"],
                               tables='[inputs]\nsalary = ["p0"]\ntable = ["p0"]\n')
        self.assert_good(self.fleet.watch(name))
        lines = self.fleet.result("p0", name).splitlines()
        environment = ["E3_INPUTS", "HOME", "LANG", "MPYC_MAXWORKERS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH",
                       "SSL_CERT_DIR", "SSL_CERT_FILE"]
        self.assertEqual(lines[:2], ["salary 4", f"table {3 << 20}"])
        self.assertIn(str(environment), lines[2])
        self.assertIn("/work", lines[2])
        self.assertEqual(lines[-1], "Permission denied")

    def test_network(self):
        p2 = self.lab["p2"]
        p2.run(["systemd-run", "--unit=listener", "python3", "-c", LISTENER])
        self.addCleanup(p2.run, ["systemctl", "stop", "listener.service"])
        outside = [("10.53.0.12", 7999), ("10.53.0.1", 8420), ("10.53.0.10", 7332), ("127.0.0.1", 22), ("127.0.0.53", 53)]
        probe = "import socket; print(socket.create_connection(('10.53.0.12', 7999), 5).recv(9))"
        until("p2 answers", lambda: "hello" in self.p0.run(["python3", "-c", probe], check=False).out)
        sockets = ["/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/notify", "/run/systemd/journal/socket",
                   "/run/e3/agent.sock"]
        for path in sockets:
            self.assertTrue(self.p0.succeeds(["test", "-S", path]), path)
        could, refused = self.hostile(NETWORK, hosts=outside, sockets=sockets)
        self.assertEqual(could, {}, refused)
        # The addresses are refused by the filter, and not because nobody is there.
        self.assertIn("Operation not permitted", refused["udp 10.53.0.12 7999"])
        # Its peer it may reach.
        could, _ = self.hostile(NETWORK, hosts=[("10.53.0.11", 9)], sockets=[])
        self.assertEqual(list(could), ["udp 10.53.0.11 9"])

    def test_a_party_that_sends_from_another_address_than_it_tells(self):
        # As behind a NAT, or with two networks: its packets come from its first address.
        self.p0.run(["ip", "address", "add", "10.53.0.99/24", "dev", "eth0"])
        settings = self.p0.read("/etc/e3/agent.toml")
        self.p0.write("/etc/e3/agent.toml", settings + 'advertise = ["10.53.0.99"]\n')
        self.p0.run(["systemctl", "restart", AGENT])

        def restore():
            self.p0.write("/etc/e3/agent.toml", settings)
            self.p0.run(["systemctl", "restart", AGENT])
            self.p0.run(["ip", "address", "del", "10.53.0.99/24", "dev", "eth0"])

        self.addCleanup(restore)
        until("the fleet knows it", lambda: any("10.53.0.99:7332" in party["presence"]["addresses"] for party in
                                                self.fleet.e3("fleet", "status")["parties"]))
        name = self.fleet.push(SLOW.replace("range(40)", "range(10)"))
        unit = self.running_unit("p1")
        allowed = self.show(unit, "IPAddressAllow", "p1").split()
        self.assertEqual(sorted(allowed), ["10.53.0.10/32", "10.53.0.12/32", "10.53.0.99/32"])
        self.assert_good(self.fleet.watch(name))

    def test_more_processes_than_the_manifest_says(self):
        # With or without a controller for them: the gate bounds what the kernel's groups do not.
        program = """
            import os, signal
            from mpyc.runtime import mpc
            mpc.run(mpc.start())
            children = []
            try:
                while len(children) < 3000:
                    child = os.fork()
                    if not child:
                        signal.pause()
                    children.append(child)
            except OSError as error:
                print(len(children), error.strerror)
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            mpc.run(mpc.shutdown())
        """
        name = self.fleet.push(textwrap.dedent(program), tables="[limits]\ntasks = 60\n")
        self.assert_good(self.fleet.watch(name))
        count, error = self.fleet.result("p0", name).split(maxsplit=1)
        self.assertEqual(error.strip(), "Resource temporarily unavailable")
        self.assertIn(int(count), range(40, 60))

    def test_privileges(self):
        pids = [1, int(self.show(AGENT, "MainPID"))]
        could, refused = self.hostile(PRIVILEGES, pids=pids)
        self.assertEqual(could, {}, refused)

    def test_a_kernel_that_keeps_nobody_from_the_network_is_noticed(self):
        # As on a machine without BPF for cgroups: nothing is said, and nothing is kept.
        drop_in = "/run/systemd/system/e3-party@.service.d/open.conf"
        self.p0.write(drop_in, "[Service]\nIPAddressDeny=\n")
        self.p0.run(["systemctl", "daemon-reload"])
        self.addCleanup(self.p0.run, ["systemctl", "daemon-reload"])
        self.addCleanup(self.p0.run, ["rm", "-r", drop_in])
        verdict = self.fleet.run("from mpyc.runtime import mpc\n")
        self.assert_failed(verdict, "'party': 0", "does not keep a program from the network", "unfiltered = true")
        until("nothing is left", lambda: not self.units())
