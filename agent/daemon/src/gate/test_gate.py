"""Tests of the gate: real gates, a real MPyC, real TLS; the tests play the agent.

    E3_TEST_MPYC=/dir/with/the/unpacked/wheel python3 -m unittest test_gate

Needs the openssl command for certificates. E3_TEST_PYTHON names another Python
to run the gates with. What the Rust side does is not tested here.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import platform
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from unittest import mock

import gate

GATE = pathlib.Path(__file__).with_name("gate.py")
PYTHON = os.environ.get("E3_TEST_PYTHON", sys.executable)
PATIENCE_S = 60  # a loaded machine is no failure

SUM = """
    from mpyc.runtime import mpc
    async def main():
        secint = mpc.SecInt(32)
        async with mpc:
            print(await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1)))))
    mpc.run(main())
"""

# The profile of the session's certificates; e3-agent makes the same.
PROFILE = """
    [req]
    distinguished_name = dn
    x509_extensions = ext
    prompt = no
    [dn]
    CN = {name}
    [ext]
    basicConstraints = critical, CA:{ca}
    keyUsage = critical, {usage}
    extendedKeyUsage = serverAuth, clientAuth
    subjectKeyIdentifier = hash
    subjectAltName = DNS:{name}
"""


def free_ports(count):
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def listen_on(host="127.0.0.1", port=0, required=False):
    return {"host": host, "port": port, "required": required}


def connects(port, host="127.0.0.1"):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def make_certificate(folder, name, ca=False, issuer=None):
    """A P-256 certificate and key; self-signed unless there is an issuer (certificate, key)."""
    profile = folder / "profile"
    usage = "keyCertSign" if ca else "digitalSignature"
    profile.write_text(textwrap.dedent(PROFILE.format(name=name, ca=str(ca).upper(), usage=usage)))
    certificate, key = folder / "crt", folder / "key"
    extra = ["-CA", issuer[0], "-CAkey", issuer[1]] if issuer else []
    openssl("req", "-x509", "-config", profile, "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-keyout", key, "-out", certificate,
            *extra)
    return certificate, key


class Party:
    """One gate, with the agent's end of its socket and its own directory."""

    def __init__(self, test, program, env=None, pass_fds=(), **order):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gate"))
        test.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        (self.dir / "main.py").write_text(textwrap.dedent(program))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.dir / "socket"))
        listener.listen(1)
        listener.settimeout(PATIENCE_S)
        self.process = subprocess.Popen(
            [PYTHON, "-I", str(GATE), str(self.dir / "socket")], cwd=self.dir,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(os.environ, **(env or {})), start_new_session=True, pass_fds=pass_fds,
        )
        test.addCleanup(self.close)
        self.socket = listener.accept()[0]
        self.socket.settimeout(PATIENCE_S)
        listener.close()
        self.lines = self.socket.makefile("r")
        self.order = {
            "mpyc_dir": str(test.mpyc_dir), "mpyc_version": test.mpyc_version, "modules": [],
            "flags": [], "args": [], "script": "main.py",
            "limits": {"memory": None, "cpu": None, "processes": None}, "listen": listen_on(),
        }
        self.order.update(order)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.lines.close()
        self.socket.close()

    def say(self, message):
        self.socket.sendall((json.dumps(message) + "\n").encode())

    def event(self):
        """The next event; how far connecting has come when somebody looked is another matter."""
        event = self.any_event()
        while event and event["event"] == "reached":
            event = self.any_event()
        return event

    def any_event(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def first(self):
        self.say(self.order)
        event = self.event()
        self.port = event and event.get("port")
        return event

    def go(self, index=0, ports=None, ssl=False, host="127.0.0.1", authorities=None):
        """Without ports it is a single party."""
        parties = ["%s:%d" % (host, port) for port in ports or [self.port]]
        self.say({"go": {"index": index, "parties": parties, "ssl": ssl,
                         "authorities": authorities}})

    def end(self):
        """(exit code, stdout, stderr, events)"""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out.decode(), err.decode(), list(iter(self.event, None))


class GateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if "E3_TEST_MPYC" not in os.environ:
            raise RuntimeError("set E3_TEST_MPYC to a directory with an unpacked MPyC wheel")
        cls.mpyc_dir = pathlib.Path(os.environ["E3_TEST_MPYC"]).resolve()
        text = (cls.mpyc_dir / "mpyc" / "__init__.py").read_text()
        cls.mpyc_version = text.split("__version__ = '")[1].split("'")[0]

    def ready(self, program, **more):
        party = Party(self, program, **more)
        event = party.first()
        self.assertEqual(event and event["event"], "ready", event)
        return party

    def certify(self, parties):
        """Gives each party its certificate and all of them the bundle; returns the bundle."""
        bundle = ""
        for index, party in enumerate(parties):
            config = party.dir / ".config"
            config.mkdir()
            certificate, key = make_certificate(config, "MPyC party %d" % index)
            certificate.rename(config / ("party_%d.crt" % index))
            key.rename(config / ("party_%d.key" % index))
            bundle += (config / ("party_%d.crt" % index)).read_text()
        for party in parties:
            (party.dir / ".config" / "mpyc_ca.crt").write_text(bundle)
        return bundle

    def mesh(self, count, ssl=False, program=SUM, **more):
        """Ready parties, and their ports; as with the agent, party 0 does not listen."""
        parties = [self.ready(program, listen=listen_on() if index else None, **more)
                   for index in range(count)]
        if ssl:
            self.certify(parties)
        return parties, [party.port or 1 for party in parties]

    def go_all(self, parties, ports, ssl=False):
        for index, party in enumerate(parties):
            party.go(index, ports, ssl)

    def assert_sum(self, parties, total, also=()):
        """All print the sum, and nothing happened but that they connected."""
        for party in parties:
            status, out, err, events = party.end()
            self.assertEqual((status, out), (0, "%d\n" % total), err)
            events = [event for event in events if event["event"] not in also]
            self.assertEqual(events, [{"event": "connected"}], err)

    # The run

    def test_a_single_party_runs_and_its_stdout_is_its_own(self):
        party = Party(self, SUM)
        ready = party.first()
        self.assertEqual(ready["mpyc"], self.mpyc_version)
        self.assertIn(ready["word_size"], (32, 64))
        party.go()
        status, out, err, events = party.end()
        self.assertEqual((status, out), (0, "1\n"), err)
        self.assertEqual(events, [{"event": "connected"}])
        self.assertIn("Start MPyC runtime", err)

    def test_three_parties_compute_over_tls(self):
        parties, ports = self.mesh(3, ssl=True, flags=["-T", "1", "--ssl"])
        self.go_all(parties, ports, ssl=True)
        self.assert_sum(parties, 6)

    def test_the_agent_brings_the_tls_files(self):
        parties, bundle = [], ""
        for index in range(2):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="tls"))
            self.addCleanup(shutil.rmtree, folder)
            certificate, key = make_certificate(folder, "MPyC party %d" % index)
            (folder / "profile").unlink()
            certificate.rename(folder / ("party_%d.crt" % index))
            key.rename(folder / ("party_%d.key" % index))
            bundle += (folder / ("party_%d.crt" % index)).read_text()
            parties.append(self.ready(SUM, listen=listen_on() if index else None, tls=str(folder)))
        ports = [party.port or 1 for party in parties]
        for index, party in enumerate(parties):
            party.go(index, ports, ssl=True, authorities=bundle)
        self.assert_sum(parties, 3)

    def laid_out(self, program, **more):
        """A gate as in a systemd unit: an empty directory, its parts elsewhere. (party, folder)"""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="unit"))
        self.addCleanup(shutil.rmtree, folder)
        files = {
            "program/main.py": textwrap.dedent(program), "program/data/table": "7",
            "credentials/input_number": "41", "credentials/tls_party_0.key": "a key",
            "large/table": "x" * 1000,
        }
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        environment = {"E3_INPUTS": str(folder / "inputs"), "HOME": "/work", "PATH": "/bin"}
        layout = {"program": str(folder / "program"), "large": str(folder / "large"),
                  "environment": environment}
        env = {"CREDENTIALS_DIRECTORY": str(folder / "credentials"), "OF_THE_UNIT": "1"}
        party = Party(self, "", env=env, layout=layout, **more)
        (party.dir / "main.py").unlink()
        return party, folder

    def test_a_unit_is_laid_out_from_what_systemd_shows(self):
        party, folder = self.laid_out("""
            import os
            from mpyc.runtime import mpc
            inputs = os.environ["E3_INPUTS"]
            print([(name, len(open(os.path.join(inputs, name)).read())) for name in sorted(os.listdir(inputs))])
            print(open("data/table").read(), open(".config/party_0.key").read())
            open("data/own", "w").write("mine")
            print([name for name in sorted(os.environ) if not name.startswith(("MPYC_", "LC_"))])
            print(__file__ == os.path.abspath("main.py"))
        """)
        ready = party.first()
        self.assertEqual(ready["event"], "ready", ready)
        party.go()
        status, out, err, _ = party.end()
        self.assertEqual(status, 0, err)
        self.assertEqual(out.splitlines(), [
            "[('number', 2), ('table', 1000)]", "7 a key", "['E3_INPUTS', 'HOME', 'PATH']", "True"])
        # What was checked is as it was; what the program writes is beside it.
        self.assertEqual(os.listdir(folder / "program" / "data"), ["table"])
        self.assertEqual((party.dir / "data" / "own").read_text(), "mine")

    def test_a_unit_that_is_not_kept_from_the_network_says_so(self):
        party, _ = self.laid_out("")
        self.assertIs(party.first()["confined"], False)
        # Without a unit nobody asks.
        self.assertIsNone(Party(self, "").first()["confined"])

    def test_a_module_of_the_laid_out_program_is_no_module_of_the_machine(self):
        party, folder = self.laid_out("", modules=["planted"])
        (folder / "program" / "planted.py").write_text("")
        self.assertEqual(party.first(),
                         {"event": "refused", "reason": "module-missing", "module": "planted"})

    def test_only_a_refusal_by_the_kernel_is_confinement(self):
        for error, confined in [(PermissionError(errno.EPERM, ""), True), (None, False),
                                (OSError(errno.ENETUNREACH, ""), False)]:
            with mock.patch.object(gate.socket.socket, "sendto", side_effect=error):
                self.assertIs(gate.is_confined(), confined)

    def test_three_parties_connect_without_a_log(self):
        parties, ports = self.mesh(3, flags=["--no-log"])
        self.go_all(parties, ports)
        self.assert_sum(parties, 6)

    def test_no_log_and_muted_programs_are_still_seen_to_connect(self):
        muted = "from mpyc.runtime import mpc\nmpc.logging(False)\n" + textwrap.dedent(SUM)
        party = self.ready(muted, flags=["--no-log"])
        party.go()
        status, out, err, events = party.end()
        self.assertEqual((status, out, err, events), (0, "1\n", "", [{"event": "connected"}]))

    def test_nothing_keeps_the_first_runtime(self):
        party = self.ready("""
            import gc, sys
            from mpyc.runtime import mpc, Runtime
            gc.collect()
            every = [o for o in gc.get_objects() if isinstance(o, Runtime)]
            print(every == [mpc], mpc is sys.modules["mpyc.asyncoro"].runtime)
            print([n for n, m in sys.modules.items() if n.startswith("mpyc.")
                   and isinstance(getattr(m, "runtime", None), Runtime) and m.runtime is not mpc])
        """)
        party.go()
        self.assertEqual(party.end()[1], "True True\n[]\n")

    def test_the_program_gets_its_arguments_untouched(self):
        party = self.ready("""
            import os, sys, helper
            print(sys.argv, __name__, os.path.basename(__file__))
            print(sys.path[0] == os.getcwd(), helper.x)
        """, args=["-h", "-M3", "--", "a b"])
        (party.dir / "helper.py").write_text("x = 7")
        party.go()
        self.assertEqual(party.end()[1],
                         "['main.py', '-h', '-M3', '--', 'a b'] __main__ main.py\nTrue 7\n")

    def test_the_exit_code_is_the_programs(self):
        for program, expected in (("raise SystemExit(7)", 7), ("raise SystemExit('no')", 1),
                                  ("raise SystemExit", 0)):
            party = self.ready(program)
            party.go()
            status, _, _, events = party.end()
            self.assertEqual((status, events), (expected, []))

    def test_a_thread_left_behind_does_not_hang_the_end(self):
        party = self.ready("""
            import threading, time
            threading.Thread(target=time.sleep, args=(500,)).start()
            print('done')
        """)
        party.go()
        status, out, err, _ = party.end()
        self.assertEqual((status, out), (0, "done\n"))
        self.assertIn("not its threads", err)

    def test_the_memory_limit_holds(self):
        party = self.ready("x = bytearray(4 << 30)",
                           limits={"memory": 2 << 30, "cpu": 60, "processes": None})
        party.go()
        status, _, _, events = party.end()
        self.assertEqual((status, events), (1, [{"event": "raised", "type": "MemoryError"}]))

    # Refusals

    def assert_refused(self, expected, program="", **order):
        party = Party(self, program, **order)
        self.assertEqual(party.first(), dict(expected, event="refused"))
        self.assertEqual(party.end()[0], 3)

    def test_an_old_python_is_refused(self):
        with mock.patch.object(gate, "MIN_PYTHON", (99,)):
            with self.assertRaises(gate.Refused) as caught:
                gate.prepare(None, {})
        self.assertEqual(caught.exception.fields,
                         {"reason": "python-too-old", "has": platform.python_version()})

    def test_another_mpyc_is_refused(self):
        self.assert_refused({"reason": "mpyc-version", "has": self.mpyc_version, "pinned": "9.9"},
                            mpyc_version="9.9")

    def test_a_missing_module_is_refused(self):
        self.assert_refused({"reason": "module-missing", "module": "no_such_module"},
                            modules=["no_such_module"])

    def test_a_module_of_the_programs_folder_is_no_module_of_the_machine(self):
        party = Party(self, "", modules=["planted"])
        (party.dir / "planted.py").write_text("")
        self.assertEqual(party.first(),
                         {"event": "refused", "reason": "module-missing", "module": "planted"})

    def test_a_broken_mpyc_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "mpyc"))
            pathlib.Path(folder, "mpyc", "__init__.py").write_text("def")
            expected = {"reason": "import-failed", "module": "mpyc", "type": "SyntaxError"}
            self.assert_refused(expected, mpyc_dir=folder)

    def test_an_unknown_option_is_refused(self):
        self.assert_refused({"reason": "bad-option", "option": "--no-such"}, flags=["--no-such"])

    def test_a_program_that_does_not_compile_is_refused(self):
        self.assert_refused({"reason": "program-invalid", "type": "SyntaxError"}, program="def")

    # Failures

    def test_an_exception_shows_its_type_to_the_agent_and_its_text_only_to_the_owner(self):
        party = self.ready("print('before')\nraise ValueError('secret 42')")
        party.go()
        status, out, err, events = party.end()
        self.assertEqual((status, out, events),
                         (1, "before\n", [{"event": "raised", "type": "ValueError"}]))
        self.assertIn("secret 42", err)
        self.assertNotIn("gate.py", err)

    def test_a_peer_that_has_hung_up_is_no_fault_of_this_party(self):
        parties, ports = self.mesh(2, flags=["-T", "0", "--no-log"], program="""
            import asyncio
            from mpyc.runtime import mpc
            mpc.run(mpc.start())
            if mpc.pid == 1: raise SystemExit(1)
            while mpc.parties[1].protocol: mpc.run(asyncio.sleep(0.01))
            mpc.run(mpc.transfer('late'))
        """)
        self.go_all(parties, ports)
        told = [party.end() for party in parties]
        self.assertEqual([end[0] for end in told], [1, 1])
        self.assertIn("AttributeError: 'NoneType' object has no attribute", told[0][2])
        self.assertIn({"event": "raised", "type": "ConnectionError"}, told[0][3])
        self.assertNotIn("raised", [event["event"] for event in told[1][3]])

    def test_an_error_inside_of_an_mpyc_coroutine_is_named_as_itself(self):
        party = self.ready("""
            from mpyc.runtime import mpc
            from mpyc.asyncoro import mpc_coro
            secint = mpc.SecInt(32)
            @mpc_coro
            async def fail(x):
                await mpc.returnType(secint)
                await mpc.gather(x)
                raise KeyError('private')
            mpc.run(mpc.output(fail(secint(1))))
        """)
        party.go()
        self.assertIn({"event": "raised", "type": "KeyError"}, party.end()[3])

    def test_an_attribute_that_is_not_there_is_the_programs_fault(self):
        party = self.ready("None.send_all")
        party.go()
        self.assertEqual(party.end()[3], [{"event": "raised", "type": "AttributeError"}])

    def test_a_failing_task_is_told(self):
        party = self.ready("""
            import asyncio
            from mpyc.runtime import mpc
            async def fail():
                raise KeyError('private')
            async def main():
                asyncio.ensure_future(fail())
                await asyncio.sleep(0.2)
                import gc; gc.collect()
            mpc.run(main())
        """)
        party.go()
        self.assertIn({"event": "task-error", "type": "KeyError"}, party.end()[3])

    def test_a_missing_peer_is_told_at_most_once_a_second(self):
        party = self.ready(SUM)
        party.go(0, free_ports(2))
        self.assertEqual(party.event()["event"], "connecting")
        start = time.monotonic()
        event = party.event()
        self.assertGreater(time.monotonic() - start, 0.8)
        self.assertIn("ConnectionRefusedError", event["error"])

    def test_whom_mpyc_has_connected_is_told_once_it_has_started(self):
        parties, ports = self.mesh(3, ssl=True, program="""
            from mpyc.runtime import mpc
            mpc.run(mpc.start())
            mpc.run(mpc.shutdown())
        """)
        for index, party in enumerate(parties[:2]):
            party.go(index, ports, ssl=True)
        for index, party in enumerate(parties[:2]):
            reached = []
            while reached != [1 - index]:  # first perhaps nobody
                event = party.any_event()
                if event["event"] == "reached":
                    reached = event["parties"]
        parties[2].go(2, ports, ssl=True)
        for party in parties:
            events = [event["event"] for event in iter(party.any_event, None)]
            self.assertEqual(party.end()[0], 0)
            self.assertNotIn("reached", events[events.index("connected"):])

    def test_a_program_that_does_not_start_mpyc_has_reached_nobody(self):
        parties, ports = self.mesh(2, program="import time; time.sleep(1)")
        parties[0].go(0, ports)
        self.assertIsNone(parties[0].any_event())

    # Listening

    def test_only_the_one_address_is_listened_on(self):
        parties, ports = self.mesh(2)
        self.assertTrue(connects(ports[1]))
        self.assertFalse(connects(ports[1], "127.0.0.9"))
        parties[1].go(1, ports)
        self.assertEqual(self.stranger(ports[1]).recv(1), b"")  # so by now MPyC serves
        self.assertFalse(connects(ports[1], "127.0.0.9"))

    def test_nobody_else_can_take_the_port(self):
        parties, ports = self.mesh(2)
        for host in ("127.0.0.1", ""):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with self.assertRaises(OSError):
                    other.bind((host, ports[1]))
                    other.listen()
        self.go_all(parties, ports)
        self.assert_sum(parties, 3)

    def test_the_preferred_port_is_taken_if_it_is_free(self):
        port = free_ports(1)[0]
        self.assertEqual(self.ready(SUM, listen=listen_on(port=port)).port, port)

    def test_a_preferred_port_that_is_taken_is_replaced_unless_required(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            party = self.ready(SUM, listen=listen_on(port=port))
            self.assertNotEqual(party.port, port)
            self.assertTrue(connects(party.port))
            self.assert_refused({"reason": "port-in-use", "port": port},
                                listen=listen_on(port=port, required=True))

    def test_an_address_of_another_machine_is_refused(self):
        error = "OSError: [Errno %d] Cannot assign requested address" % errno.EADDRNOTAVAIL
        self.assert_refused({"reason": "address", "error": error},
                            listen=listen_on("203.0.113.1", 11366))

    def test_an_address_that_comes_back_is_waited_for(self):
        gone = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        with mock.patch.object(gate, "listen_at", side_effect=[gone, gone, "a socket"]) as asked:
            self.assertEqual(gate.listen("127.0.0.1", 0, False), "a socket")
        self.assertEqual(asked.call_count, 3)

    def test_no_host_is_not_every_interface(self):
        party = Party(self, SUM, listen=listen_on(""))
        self.assertEqual(party.first()["reason"], "address")

    def test_it_listens_on_ipv6(self):
        with socket.socket(socket.AF_INET6) as probe:
            if probe.connect_ex(("::1", 1)) != errno.ECONNREFUSED:
                self.skipTest("no IPv6 on this machine")
        parties, ports = self.mesh(2)
        parties[1] = self.ready(SUM, listen=listen_on("::1"))
        ports[1] = parties[1].port
        self.assertFalse(connects(ports[1]))
        for index, party in enumerate(parties):
            party.go(index, ports, host="::1")
        self.assert_sum(parties, 3)

    def test_party_0_hangs_up_at_the_go(self):
        party = self.ready("""
            import socket
            from mpyc.runtime import mpc
            print(socket.socket().connect_ex(("127.0.0.1", mpc.parties[0].port)) == 0)
        """)
        self.assertTrue(connects(party.port))
        party.go(0, [party.port, 1])
        self.assertEqual(party.end()[1], "False\n")

    def test_children_of_the_program_do_not_get_the_socket(self):
        parties, ports = self.mesh(2, program="""
            import subprocess
            subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, check=True)
        """)
        parties[1].go(1, ports)
        out = parties[1].end()[1]
        self.assertIn("pipe:", out)
        self.assertNotIn("socket:", out)

    def test_what_the_agent_was_given_by_others_does_not_reach_the_program(self):
        with tempfile.TemporaryFile() as lock:
            high = fcntl.fcntl(lock, fcntl.F_DUPFD, 900)
            self.addCleanup(os.close, high)
            party = self.ready("""
                import os
                inode = int(open("inode").read())
                for fd in range(1024):
                    try:
                        if os.fstat(fd).st_ino == inode: print(fd)
                    except OSError: pass
            """, pass_fds=(lock.fileno(), high))
            (party.dir / "inode").write_text(str(os.fstat(high).st_ino))
        party.go()
        status, out, err, _ = party.end()
        self.assertEqual((status, out), (0, ""), err)

    def test_a_party_that_would_listen_elsewhere_does_not_run(self):
        for flags, listen, wrong in (([], None, 0), ([], listen_on(), 1),
                                     (["-B", "20000"], listen_on(), 0)):
            party = self.ready(SUM, flags=flags, listen=listen)
            party.go(1, [1, (party.port or 1) + wrong])
            status, out, _, events = party.end()
            self.assertEqual((status, out, events),
                             (1, "", [{"event": "raised", "type": "ValueError"}]))

    def test_a_program_may_start_mpyc_again_and_open_servers_of_its_own(self):
        again = textwrap.dedent(SUM) + textwrap.dedent("""
            async def own():
                server = await asyncio.get_running_loop().create_server(asyncio.Protocol, port=0)
                print(server.sockets[0].getsockname()[1] != mpc.parties[mpc.pid].port)
            import asyncio
            mpc.run(own())
            mpc.run(main())
        """)
        parties, ports = self.mesh(3, program=again)
        self.go_all(parties, ports)
        for party in parties:
            self.assertEqual(party.end()[:2], (0, "6\nTrue\n6\n"))

    # The first dial

    def test_every_first_dial_succeeds(self):
        for _ in range(5):
            parties, ports = self.mesh(3)
            self.go_all(parties, ports)
            self.assert_sum(parties, 6)

    def test_a_dial_before_the_others_go_waits(self):
        for ssl in (False, True):
            parties, ports = self.mesh(3, ssl=ssl)
            parties[0].go(0, ports, ssl)
            if ssl:  # it waits in the handshake, and a failed dial would be told at once
                self.assertEqual(parties[0].any_event(), {"event": "reached", "parties": []})
                self.assertEqual(select.select([parties[0].socket], [], [], 0.5)[0], [])
            else:
                self.assertEqual(parties[0].event(), {"event": "connected"})
            parties[2].go(2, ports, ssl)
            parties[1].go(1, ports, ssl)
            self.assert_sum(parties if ssl else parties[1:], 6)

    # Strangers who come before the go

    def stranger(self, port, data=b"", host="127.0.0.9"):
        """A connection from an address of no party; it stays open."""
        stranger = socket.create_connection(("127.0.0.1", port), PATIENCE_S, (host, 0))
        self.addCleanup(stranger.close)
        stranger.sendall(data)
        return stranger

    def test_early_strangers_do_not_break_a_run_with_tls(self):
        parties, ports = self.mesh(3, ssl=True)
        for port in ports[1:]:
            for data in (b"", b"GET / HTTP/1.0\r\n\r\n", bytes(50), b"\x16\x03\x01\x02\x00"):
                self.stranger(port, data, "127.0.0.1")
            self.stranger(port).close()
        self.go_all(parties, ports, ssl=True)
        self.assert_sum(parties, 6)

    def test_strangers_by_address_are_hung_up_on_and_told_once_each(self):
        parties, ports = self.mesh(2)
        strangers = [self.stranger(ports[1], bytes(50)), self.stranger(ports[1]),
                     self.stranger(ports[1], bytes(50), "127.0.0.8")]  # zeros pose as party 0
        parties[1].go(1, ports)
        told = sorted(parties[1].event()["address"] for _ in range(2))
        self.assertEqual(told, ["127.0.0.8", "127.0.0.9"])
        for stranger in strangers:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(stranger.recv(1), b"")
        parties[0].go(0, ports)
        self.assert_sum(parties, 3)

    def test_where_a_party_has_a_name_any_address_may_be_its_own(self):
        parties, ports = self.mesh(2)
        self.stranger(ports[1])
        for index, party in enumerate(parties):
            party.go(index, ports, host="localhost")
        self.assert_sum(parties, 3)

    # The agent's death

    def assert_ends(self, party):
        party.process.wait(timeout=5)
        self.assertNotEqual(party.process.returncode, 0)

    def test_the_gate_ends_when_the_agent_hangs_up_before_the_go(self):
        party = self.ready(SUM)
        party.socket.shutdown(socket.SHUT_RDWR)
        self.assert_ends(party)

    def test_the_run_ends_when_the_agent_hangs_up(self):
        party = self.ready("import subprocess\nprint(subprocess.Popen(['sleep', '1000']).pid)\n"
                           "while True: pass")
        party.go()
        child = int(party.process.stdout.readline())
        party.socket.shutdown(socket.SHUT_RDWR)
        self.assert_ends(party)
        time.sleep(0.3)  # for init to collect it
        stat = pathlib.Path("/proc/%d/stat" % child)
        self.assertTrue(not stat.exists() or " Z " in stat.read_text(), "a child lives on")

    def test_the_gate_dies_with_its_parent_even_if_the_socket_stays_open(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(1)
                listener.settimeout(PATIENCE_S)
                code = ("import subprocess, sys, time\n"
                        "p = subprocess.Popen([sys.argv[1], '-I', sys.argv[2], sys.argv[3]])\n"
                        "print(p.pid, flush=True)\ntime.sleep(1000)")
                parent = subprocess.Popen([sys.executable, "-c", code, PYTHON, str(GATE), path],
                                          stdout=subprocess.PIPE)
                gate = int(parent.stdout.readline())
                connection = listener.accept()[0]
                parent.send_signal(signal.SIGKILL)
                parent.wait()
                parent.stdout.close()
                connection.settimeout(5)
                self.assertEqual(connection.recv(1), b"", "gate %d is alive" % gate)
                connection.close()

    # Attacks on the connections

    def test_strangers_are_refused_and_the_run_goes_on(self):
        parties, ports = self.mesh(3, ssl=True)
        parties[2].go(2, ports, ssl=True)  # it waits for the other two
        stranger = parties[2].dir / "stranger"
        stranger.mkdir()
        certificate, key = make_certificate(stranger, "MPyC party 0")
        for identity in ([], ["-cert", certificate, "-key", key]):
            self.assertFalse(self.accepted(ports[2], identity), identity)
        config = parties[0].dir / ".config"  # to show that a refusal means something
        self.assertTrue(self.accepted(
            ports[2], ["-cert", config / "party_0.crt", "-key", config / "party_0.key"]))
        with socket.create_connection(("127.0.0.1", ports[2])) as plain:
            plain.sendall(bytes(50))  # in plain MPyC this makes the sender party 0
        for index in (0, 1):
            parties[index].go(index, ports, ssl=True)
        # MPyC raises when a party hangs up without a word, as the third client did.
        self.assert_sum(parties, 6, also=["task-error"])

    def test_an_authority_of_the_system_is_none_of_the_session(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name in ("ca", "leaf"):
                (folder / name).mkdir()
            authority = make_certificate(folder / "ca", "An authority", ca=True)
            leaf = make_certificate(folder / "leaf", "MPyC party 0", issuer=authority)
            parties, ports = self.mesh(2, ssl=True, env={"SSL_CERT_FILE": str(authority[0])})
            parties[1].go(1, ports, ssl=True)
            self.assertFalse(self.accepted(ports[1], ["-cert", leaf[0], "-key", leaf[1]]))
            parties[0].go(0, ports, ssl=True)
            self.assert_sum(parties, 3)

    def accepted(self, port, identity):
        """Whether a listening party takes this TLS client: it hangs up on one that it does not."""
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-quiet", *identity],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            client.wait(timeout=3)
            return False
        except subprocess.TimeoutExpired:
            client.kill()
            return True
        finally:
            client.communicate()

    def assert_impostor_found(self, parties):
        self.go_all(parties[:2], [party.port for party in parties[:2]], ssl=True)
        status, out, _, events = parties[1].end()
        self.assertEqual((status, out), (5, ""))
        self.assertEqual(events[-1], {"event": "impostor", "party": 0})

    def test_a_party_that_poses_as_another_is_found_out(self):
        parties = [self.ready(SUM, flags=["--ssl"]) for _ in range(3)]
        self.certify(parties)
        for kind in ("crt", "key"):  # party 2 has a place in the session, but not this one
            shutil.copy(parties[2].dir / ".config" / ("party_2." + kind),
                        parties[0].dir / ".config" / ("party_0." + kind))
        self.assert_impostor_found(parties)

    def test_a_party_that_signs_itself_anothers_name_is_found_out(self):
        parties = [self.ready(SUM, flags=["--ssl"]) for _ in range(3)]
        bundle = self.certify(parties)
        authority, forged = parties[2].dir / "authority", parties[0].dir / ".config"
        authority.mkdir()
        issuer = make_certificate(authority, "MPyC party 2", ca=True)
        certificate, key = make_certificate(forged, "MPyC party 0", issuer=issuer)
        certificate.rename(forged / "party_0.crt")
        key.rename(forged / "party_0.key")
        for party in parties:  # as if nobody had looked at what party 2 handed round
            honest = bundle.split("-----END CERTIFICATE-----\n")[:2]
            text = "".join(each + "-----END CERTIFICATE-----\n" for each in honest)
            (party.dir / ".config" / "mpyc_ca.crt").write_text(text + issuer[0].read_text())
        self.assert_impostor_found(parties)


if __name__ == "__main__":
    unittest.main()
