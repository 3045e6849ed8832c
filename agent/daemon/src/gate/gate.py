"""The gate: starts one party's MPyC program, for the agent, in a private directory.

`python3 -I gate.py SOCKET` connects to the agent, makes everything ready that
can be made ready (limits, the listening socket, MPyC, the declared modules,
the compiled program), says so, and waits. When all parties are ready the agent
says go, and what is left is the computation. MPyC is used as released: nothing
in it is patched.

Left to others: fetching and checking files, certificates, the sandbox and the
deadlines (the agent). The gate only tells what it sees, and dies with the agent.

The talk is one JSON object per line; the daemon has the other side:

    agent  {"mpyc_dir", "mpyc_version", "modules", "flags", "args", "script", "limits",
            "listen": {"host", "port", "required"} or null,
            "tls": folder of this party's certificate and key, or null,
            "layout": {"program", "large", "environment"} or null}
    gate   {"event": "ready", "port", ...}  or  {"event": "refused", "reason": ...} and exit 3
    agent  {"go": {"index", "parties", "ssl", "authorities"}}
    gate   {"event": "connecting" | "reached" | "connected" | "stranger" | "impostor"
                     | "task-error" | "raised", ...}

Exit codes: the program's own; 1 the program raised; 2 started wrongly;
3 refused; 4 the agent is gone; 5 a peer is not who it says.
"""

# No syntax newer than Python 3.6 here: an old Python must get far enough to be refused.
import gc

# Until all is imported nothing is garbage, and looking for it would take a fifth of the time.
COLLECT_AT = gc.get_threshold()
gc.set_threshold(0)

import asyncio
import contextlib
import errno
import importlib
import io
import ipaddress
import json
import logging
import os
import platform
import re
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import types

MIN_PYTHON = (3, 10)
MAX_LINE_BYTES = 1 << 20  # a manifest's worth; more is a mistake
MAX_TEXT = 200  # characters of an error text that go to the agent
MAX_TASK_ERRORS = 16  # a broken program may fail thousands of times: a few tell it all
MAX_STRANGERS = 16  # addresses told to the agent
BACKLOG = 100  # as asyncio's
ADDRESS_S, ADDRESS_EVERY_S = 5.0, 0.1  # for an address that is not there to be there again
CONNECTING_EVERY_S = 1.0  # MPyC retries ten times a second
INPUT, TLS = "input_", "tls_"  # what systemd puts before a credential's name
TLS_FOLDER = ".config"  # where MPyC looks for its TLS files
LOOK_EVERY_S = 0.2  # how often to look for a connection that the log did not show
PEER_CALLS = ("send", "receive", "close_connection", "nbytes_sent")  # what MPyC asks of a peer
LOOP_STOPPED = "Event loop stopped before Future completed."  # asyncio's and uvloop's words
EXIT_GRACE_S = 5.0  # for the program's own threads and atexit functions
EXIT_USAGE, EXIT_REFUSED, EXIT_ORPHAN, EXIT_IMPOSTOR = 2, 3, 4, 5

# Used by the first connections; importing them now keeps that out of the run.
WARM = ("ssl", "asyncio.sslproto", "concurrent.futures.thread", "encodings.idna", "pickle")


class Refused(Exception):
    """This machine cannot run this program; the fields say why."""

    def __init__(self, reason, **fields):
        super().__init__(reason)
        self.fields = dict(fields, reason=reason)


class Agent:
    """The line to the agent. It stays in this object; the program is not given it."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # close-on-exec
        self._socket.connect(path)
        self._lock = threading.Lock()
        self._rest = b""

    def receive(self):
        """The next line as an object; None when the agent is gone."""
        while b"\n" not in self._rest:
            if len(self._rest) > MAX_LINE_BYTES:
                raise ValueError("line from the agent is too long")
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                return None
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        return json.loads(line.decode())

    def tell(self, event, **fields):
        """Sends one event. If the agent is gone the watcher sees it; no error here."""
        line = json.dumps(dict(fields, event=event)) + "\n"
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(line.encode())

    def watch(self, look):
        """Never returns: ends the process when the agent is gone; calls look() till it is true."""
        done = False
        while True:
            if select.select([self._socket], [], [], None if done else LOOK_EVERY_S)[0]:
                try:
                    data = self._socket.recv(4096)
                except OSError:
                    data = b""
                if not data:
                    die()
            elif not done:
                done = look()


def die():
    """Ends this process and, if it leads a process group, whatever the program started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(EXIT_ORPHAN)


def die_with_parent():
    """Asks the kernel to kill us when the agent dies, even in the middle of C code.

    A parent that died before this call is noticed by its changed id, or, at the
    latest, when the socket does not answer. Under systemd the parent is systemd
    and only the socket tells.
    """
    parent = os.getppid()
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(EXIT_ORPHAN)


def close_inherited():
    """Closes every file but the three standard ones.

    The agent opens all of its own close-on-exec. What it was given itself, by the shell,
    the service manager or whoever else started it (a lock, a socket, a terminal), it does
    not know, and it would go on to the program, which nobody has allowed to use it.
    """
    try:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    except (OSError, ValueError):
        highest = 65535  # no /proc: more than anybody has open
    os.closerange(3, highest + 1)


def set_limits(limits):
    """Applies the manifest's limits; one that is above the machine's own stays at that."""
    wanted = [
        (resource.RLIMIT_AS, limits.get("memory")),
        (resource.RLIMIT_CPU, limits.get("cpu")),
        (resource.RLIMIT_CORE, 0),  # a core file would hold the private inputs
    ]
    if os.geteuid() != 0:  # for root the kernel does not count
        wanted.append((resource.RLIMIT_NPROC, limits.get("processes")))
    for what, value in wanted:
        if value is not None:
            hard = resource.getrlimit(what)[1]
            value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
            resource.setrlimit(what, (value, value))


def listen(host, port, required):
    """The socket that this party's peers will dial, bound to the one address and listening.

    It exists before any party is told to go, so a peer's first dial succeeds even
    if it comes before MPyC serves it, and nobody can take the port meanwhile. A
    preferred port that is taken is replaced by a free one, unless it is required.
    Not inheritable, as all of Python's sockets. Several addresses of a name: the
    first that this machine has. One that it has not is waited for: it may be a mesh's,
    whose daemon has just died and is started again.
    """
    end = time.monotonic() + ADDRESS_S
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        while True:
            for family, kind, protocol, _, address in found:
                try:
                    return listen_at(family, kind, protocol, address)
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        if required:
                            raise Refused("port-in-use", port=port)
                        return listen_at(family, kind, protocol, (address[0], 0) + address[2:])
                    if error.errno != errno.EADDRNOTAVAIL:
                        raise
            if time.monotonic() > end:
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            time.sleep(ADDRESS_EVERY_S)
    except (OSError, UnicodeError) as error:  # the latter: not even a host's name
        text = "{}: {}".format(type(error).__name__, error)
        raise Refused("address", error=text[:MAX_TEXT])


def listen_at(family, kind, protocol, address):
    """A socket listening at one address; OSError if it cannot be."""
    listener = socket.socket(family, kind, protocol)
    try:
        if address[1]:
            # The last session's connections may linger on the port. Not for port 0:
            # there it would let the kernel choose one that another program has bound.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)  # also fails if the port is taken, by a bind between these two
    except OSError:
        listener.close()
        raise
    return listener


def lay_out(layout):
    """Fills the empty working directory of a systemd unit, whose parts lie where systemd puts them.

    The folders of the program are made, its files linked: so it finds itself as it
    is, may write beside it, and cannot change what was checked. What comes as a
    credential is linked under its own name. The environment becomes the same as on
    any other machine; nothing of the unit's is the program's business.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    os.environ.clear()
    os.environ.update(layout["environment"])
    for folder, _, names in os.walk(layout["program"]):
        here = os.path.relpath(folder, layout["program"])
        link(folder, names, here)
    names = os.listdir(credentials) if credentials else []
    for prefix, folder in ((INPUT, os.environ["E3_INPUTS"]), (TLS, TLS_FOLDER)):
        found = [name for name in names if name.startswith(prefix)]
        if found:
            link(credentials, found, folder, len(prefix))
    link(layout["large"], os.listdir(layout["large"]), os.environ["E3_INPUTS"])


def link(source, names, target, cut=0):
    """Makes links to files of one folder in another, their names without the first characters."""
    os.makedirs(target, exist_ok=True)
    for name in names:
        os.symlink(os.path.join(source, name), os.path.join(target, name[cut:]))


def is_confined():
    """Whether the kernel keeps this process from addresses that nobody has allowed.

    systemd takes IPAddressDeny= without a word on a machine that cannot keep it. Before
    the go no address is allowed, not even this one, so the attempt itself must fail.
    """
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.sendto(b"", ("127.0.0.1", 9))
        except PermissionError:
            return True
        except OSError:
            pass
    return False


def under(path, folder):
    """Whether path lies in folder, links resolved."""
    folder = os.path.realpath(folder)
    return os.path.commonpath([os.path.realpath(path), folder]) == folder


def import_or_refuse(name, missing="module-missing"):
    """Imports one module; every way to fail has its reason."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        if missing:
            raise Refused(missing, module=name)
        raise Refused("import-failed", module=name, type="ModuleNotFoundError")
    except BaseException as error:  # SystemExit too: no module may end the gate silently
        raise Refused("import-failed", module=name, type=type(error).__name__)


def import_declared(names, folders):
    """Imports the declared modules, before MPyC or the program's folder can be found.

    With -I neither the current directory nor the user's packages are on the path,
    so what is found is the machine's; the check is for a path that leads back here,
    into one of the folders that hold the program.
    """
    for name in names:
        if name.split(".")[0] == "mpyc":
            continue  # that is pinned, and comes from its own directory
        origin = getattr(import_or_refuse(name), "__file__", None)
        if origin and any(under(origin, folder) for folder in folders):
            raise Refused("module-missing", module=name)


def import_mpyc(folder, pinned, flags, script):
    """Imports the pinned MPyC and returns its runtime module.

    mpyc.runtime calls setup() when imported, and setup() reads sys.argv. The
    parties are not known yet, so this first runtime is a single party's (hence
    -T 0, the last -T counts); go() replaces it.
    """
    sys.path.insert(0, folder)
    sys.argv = [script] + flags + ["-T", "0"]
    mpyc = import_or_refuse("mpyc", missing=None)
    if not under(mpyc.__file__ or "", folder):
        raise Refused("import-failed", module="mpyc", type="ForeignModule")
    if mpyc.__version__ != pinned:
        raise Refused("mpyc-version", has=mpyc.__version__, pinned=pinned)
    parser = getattr(mpyc, "_get_arg_parser", None) or mpyc.get_arg_parser  # 0.9's name
    unknown = parser().parse_known_args(flags)[1]
    if unknown:
        raise Refused("bad-option", option=unknown[0])
    # After MPyC chose the kind of loop, and before Python 3.14 would refuse to make one.
    asyncio.set_event_loop(asyncio.new_event_loop())
    runtime = import_or_refuse("mpyc.runtime", missing=None)
    if not hasattr(runtime, "mpc"):  # MPyC prints setup()'s exception and goes on
        raise Refused("import-failed", module="mpyc.runtime", type="SetupFailed")
    return runtime


def version_of(name):
    """A module's version, as its distribution has it."""
    if name.split(".")[0] in sys.stdlib_module_names:
        return "stdlib"
    version = getattr(sys.modules.get(name), "__version__", None)
    if isinstance(version, str):
        return version
    # Imported only for those who need it: it brings a dozen modules along.
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return "unknown"


def compile_program(script):
    """Compiles the program: a syntax this Python does not know shows before the go."""
    try:
        with io.open_code(script) as file:
            return compile(file.read(), os.path.abspath(script), "exec", dont_inherit=True)
    except Exception as error:
        raise Refused("program-invalid", type=type(error).__name__)


def log_level(options):
    """The level that MPyC sets for these options (mpyc/__init__.py)."""
    if options.no_log:
        return logging.WARNING
    first = options.log_level[:1].upper()
    first = {"N": "0", "D": "1", "I": "2", "W": "3", "E": "4", "C": "5"}.get(first, first)
    return int(first) * 10 if first in "12345" else logging.NOTSET


class Tap(logging.Handler):
    """Reads in MPyC's log how connecting goes, whatever the log level shows.

    Only lines of Runtime.start() count: a program's own lines may hold anything.
    """

    def __init__(self, session, start):
        super().__init__(logging.DEBUG)
        self._session = session
        self._file = start.__code__.co_filename
        self._next = 0.0

    def emit(self, record):
        if record.pathname != self._file or record.funcName != "start":
            return
        if isinstance(record.msg, Exception):
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + CONNECTING_EVERY_S
                error = "{}: {}".format(type(record.msg).__name__, record.msg)
                self._session.agent.tell("connecting", error=error[:MAX_TEXT])
        elif record.getMessage().startswith("All "):
            self._session.set_connected()


class Door(asyncio.Protocol):
    """Meets one connection, and hands it to MPyC's protocol if it comes from a party.

    Without TLS an address is all there is to know a party by. After the hand-over
    the door is out of the way: it costs nothing per message.
    """

    def __init__(self, factory, addresses, on_stranger):
        self._factory = factory
        self._addresses = addresses
        self._on_stranger = on_stranger

    def connection_made(self, transport):
        peer = transport.get_extra_info("peername")  # None: gone again
        if peer and to_address(peer[0]) in self._addresses:
            protocol = self._factory()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        else:
            transport.abort()
            if peer:
                self._on_stranger(peer[0])


def to_address(host):
    """A literal address in the form to compare; None for a name."""
    try:
        return ipaddress.ip_address(host.split("%")[0])  # the zone is each machine's own
    except ValueError:
        return None


class Session:
    """One run of the program, from the go to its end."""

    def __init__(self, agent, runtime, order, code, handler, listener):
        self.agent = agent
        self.runtime = runtime
        self.order = order
        self.code = code
        self.handler = handler
        self.listener = listener
        self.mpc = None
        self._connected = False
        self._reached = None
        self._task_errors = 0
        self._task_error = None  # the last one's kind
        self._strangers = set()
        self._lock = threading.Lock()

    def go(self, index, parties, ssl, authorities=None):
        """Makes the real runtime. MPyC's modules all get it from setup(), none keeps the first."""
        if authorities is not None:
            os.makedirs(TLS_FOLDER, exist_ok=True)
            with open(os.path.join(TLS_FOLDER, "mpyc_ca.crt"), "w", encoding="ascii") as file:
                file.write(authorities)
        for party in parties:
            if not re.match(r"\S+:\d+$", party):
                raise ValueError("no host:port: {!r}".format(party))
        # Joined to their letters, and without the program's arguments, so that
        # nothing in either can be taken for another option.
        sys.argv = [self.order["script"]] + self.order["flags"] + (["--ssl"] if ssl else [])
        sys.argv += ["-P" + party for party in parties] + ["-I{}".format(index)]
        logging.root.setLevel(logging.DEBUG)  # till connected; the handler shows no more for it
        logging.root.addHandler(Tap(self, self.runtime.Runtime.start))
        self.mpc = self.runtime.mpc = self.runtime.setup()
        if self.mpc.options.ssl:
            # MPyC's TLS trusts the system's authorities beside the session's bundle,
            # and any client certificate of theirs would do. So the bundle, which has
            # the parties' certificates in their order, becomes the system's too.
            os.environ["SSL_CERT_FILE"] = os.path.abspath(os.path.join(TLS_FOLDER, "mpyc_ca.crt"))
            os.environ["SSL_CERT_DIR"] = os.devnull
        loop = self.mpc._loop
        loop.set_exception_handler(self._on_task_error(loop.get_exception_handler()))
        if self.mpc.pid:
            self._serve(loop)
        elif self.listener:
            self.listener.close()  # party 0 dials all others, nobody dials it
        threading.Thread(target=self.agent.watch, args=(self.look,), daemon=True).start()

    def _serve(self, loop):
        """Has MPyC's loop.create_server(factory, port=...) serve the gate's socket.

        Otherwise it would bind a new one, to all interfaces. It gets a copy, because
        it closes it when all are connected, and a program may start MPyC again:
        the port stays this session's to the end.
        """
        listener, ours = self.listener, self.mpc.parties[self.mpc.pid].port
        if listener is None or listener.getsockname()[1] != ours:
            raise ValueError("party {} does not listen on port {}".format(self.mpc.pid, ours))
        # With a party known by its name only, any address could be its own.
        addresses = {to_address(party.host) for party in self.mpc.parties}
        guarded = not self.mpc.options.ssl and None not in addresses
        create_server = loop.create_server

        def door(factory):
            return lambda: Door(factory, addresses, self._on_stranger)

        async def create(factory, host=None, port=None, **options):
            if host is None and port == ours:
                if guarded:
                    factory = door(factory)
                return await create_server(factory, sock=listener.dup(), **options)
            return await create_server(factory, host, port, **options)

        # On the instance: asyncio's loops and uvloop's have room for it, and nothing
        # else of the loop becomes slower or different.
        loop.create_server = create

    def _on_stranger(self, host):
        """Tells of a connection from an address that no party has, once per address."""
        if host not in self._strangers and len(self._strangers) < MAX_STRANGERS:
            self._strangers.add(host)
            self.agent.tell("stranger", address=host)

    def _on_task_error(self, mpycs):
        """A handler that tells the agent, then does what MPyC's does."""

        def handler(loop, context):
            if "exception" in context and self._task_errors < MAX_TASK_ERRORS:
                self._task_errors += 1
                self._task_error = kind_of(context["exception"])
                self.agent.tell("task-error", type=self._task_error)
            with contextlib.redirect_stdout(sys.stderr):  # MPyC's prints part of it
                mpycs(loop, context)

        return handler

    def look(self):
        """Whether all are connected, from the runtime itself: one party logs nothing,
        and a program may have called mpc.logging(False)."""
        if self.mpc.start_time is not None:
            self.set_connected()
        if not self._connected:
            self._tell_reached()
        return self._connected

    def _tell_reached(self):
        """Tells, when it changes, whom MPyC has connected: where a run cannot connect, all agents
        together see who is missing. Says nothing before the program has started MPyC."""
        parties = self.mpc.parties
        if parties[self.mpc.pid].protocol is None:
            return
        reached = [peer.pid for peer in parties
                   if peer.pid != self.mpc.pid and peer.protocol is not None]
        if reached != self._reached:
            self._reached = reached
            self.agent.tell("reached", parties=reached)

    def set_connected(self):
        """Tells once that all are connected, if all are who they say."""
        with self._lock:
            if self._connected:
                return
            self._connected = True
        if self.mpc.options.ssl:
            self._check_peers()
        logging.root.setLevel(self.handler.level)
        self.agent.tell("connected")

    def _check_peers(self):
        """Ends the run if a peer's certificate is not the one of the index it uses.

        MPyC's listener asks for a certificate of the session, but not whose: one
        party could connect as two, and hold two parties' shares. And a certificate
        that slipped in as an authority could sign others. So here each is compared
        with its place in the bundle. With the log on, this runs inside MPyC's
        start(), before any private value is sent.
        """
        import ssl

        with open(os.environ["SSL_CERT_FILE"], encoding="ascii") as file:
            bundle = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----",
                                file.read(), re.DOTALL)
        for peer in self.mpc.parties:
            if peer.pid == self.mpc.pid or peer.protocol is None:
                continue  # None: a muted program may have disconnected before we looked
            shown = peer.protocol.transport.get_extra_info("ssl_object").getpeercert(True)
            if shown != ssl.PEM_cert_to_DER_cert(bundle[peer.pid]):
                self.agent.tell("impostor", party=peer.pid)
                os._exit(EXIT_IMPOSTOR)

    def run(self):
        """Runs the program as `python3 SCRIPT ARGS` would; returns its exit code."""
        main = types.ModuleType("__main__")
        main.__file__ = self.code.co_filename
        sys.modules["__main__"] = main
        sys.argv = [self.order["script"]] + self.order["args"]
        sys.path.insert(0, os.getcwd())
        try:
            exec(self.code, main.__dict__)
            status = 0
        except SystemExit as error:
            status = exit_status(error)
        except BaseException as error:
            status = 1
            self.report(error)
        if self.mpc.start_time is not None:
            self.set_connected()  # a short run may end between two looks
        return status

    def report(self, error):
        """Traceback to stderr, for the owner; to the agent only the kind: a text may be private."""
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code is not self.code:
            trace = trace.tb_next  # the gate's own frames
        traceback.print_exception(type(error), error, trace or error.__traceback__)
        kind = kind_of(error)
        if self._task_error and kind == "RuntimeError" and str(error) == LOOP_STOPPED:
            kind = self._task_error  # that is why MPyC has stopped the loop
        self.agent.tell("raised", type=kind)


def kind_of(error):
    """The name of an exception for the agents, who tell a cause from its consequences by it.

    Where a peer has hung up, MPyC has None for its connection, and whatever is sent
    there next raises an AttributeError: a lost connection by another name. So is what
    MPyC raises when it is told that a connection is lost.
    """
    gone = isinstance(error, AttributeError) and error.obj is None and error.name in PEER_CALLS
    frames = traceback.walk_tb(error.__traceback__)
    if gone or any(frame.f_code.co_name == "connection_lost" for frame, _ in frames):
        return "ConnectionError"
    return type(error).__name__[:MAX_TEXT]


def exit_status(error):
    """What Python makes of a SystemExit."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def prepare(agent, order):
    """Everything that can be done before the parties are known; returns (session, ready)."""
    if sys.version_info < MIN_PYTHON:
        raise Refused("python-too-old", has=platform.python_version())
    set_limits(order["limits"])
    layout = order.get("layout")
    if layout:
        lay_out(layout)
    if order.get("tls"):
        link(order["tls"], os.listdir(order["tls"]), TLS_FOLDER)
    listener = listen(**order["listen"]) if order["listen"] else None
    # The runtime's directory is shared between sessions: leave nothing in it.
    sys.dont_write_bytecode = True
    # MPyC logs to stdout unless the root logger has a handler; stdout is the result's.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("{asctime} {message}", style="{"))
    handler.setLevel(logging.WARNING)
    logging.root.addHandler(handler)
    with contextlib.redirect_stdout(sys.stderr):
        folders = [os.getcwd()] + ([layout["program"]] if layout else [])
        import_declared(order["modules"], folders)
        runtime = import_mpyc(
            order["mpyc_dir"], order["mpyc_version"], order["flags"], order["script"]
        )
        for name in WARM:
            importlib.import_module(name)
    handler.setLevel(log_level(runtime.mpc.options))
    logging.root.setLevel(handler.level)
    used = [name for name in ("numpy", "gmpy2", "uvloop") if name in sys.modules]
    ready = {
        "port": listener and listener.getsockname()[1],
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "mpyc": sys.modules["mpyc"].__version__,
        "modules": {name: version_of(name) for name in sorted({*order["modules"], *used})},
        "word_size": struct.calcsize("P") * 8,
        "confined": is_confined() if layout else None,
    }
    code = compile_program(order["script"])
    return Session(agent, runtime, order, code, handler, listener), ready


def settle():
    """Lets the collector work again, but not on what was imported: that stays to the end, and
    going through it again and again at Python's end takes longer than a short program."""
    gc.freeze()
    if gc.get_threshold()[0] == 0:  # unless a module has set its own
        gc.set_threshold(*COLLECT_AT)


def finish(status):
    """Ends as Python does, but in bounded time: a thread left behind is no reason to hang."""
    try:
        sys.stdout.flush()
    except OSError:
        status = status or 1

    def cut():
        time.sleep(EXIT_GRACE_S)
        print("gate: the program ended, but not its threads; ending them", file=sys.stderr)
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(status)

    threading.Thread(target=cut, daemon=True).start()
    sys.exit(status)


def main():
    """The talk with the agent, from top to bottom."""
    die_with_parent()
    if len(sys.argv) != 2 or not sys.flags.isolated:
        print("usage: python3 -I gate.py SOCKET", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    close_inherited()  # before the socket is opened
    if hasattr(sys.stdout, "reconfigure"):
        # Hashed and compared between parties: the same bytes on every machine.
        sys.stdout.reconfigure(encoding="utf-8", newline="\n", line_buffering=True)
    try:
        agent = Agent(sys.argv[1])
    except OSError:
        os._exit(EXIT_ORPHAN)
    order = agent.receive()
    if order is None:
        os._exit(EXIT_ORPHAN)
    try:
        session, ready = prepare(agent, order)
    except Refused as refused:
        agent.tell("refused", **refused.fields)
        sys.exit(EXIT_REFUSED)
    settle()
    agent.tell("ready", **ready)
    message = agent.receive()
    if message is None:
        os._exit(EXIT_ORPHAN)
    try:
        session.go(**message["go"])
    except Exception as error:  # such as a threshold too large for the parties
        session.report(error)
        finish(1)
    finish(session.run())


if __name__ == "__main__":
    main()
