"""Networks behave like the real ones they stand for, and cuts cut."""

from ..failure import LabError
from ..plan import HUB
from .case import LabCase


class Lan(LabCase):
    """One bridge."""

    machines = 3

    def setUp(self):
        self.addCleanup(self.lab.heal)

    def test_everybody_reaches_everybody_by_name(self):
        for server in ("p0", "p1", "hub"):
            self.serve(server)
        self.assert_reaches("p0", "p1")
        self.assert_reaches("p1", "hub")
        self.assert_reaches("hub", self.lab.network.node("p0").address)

    def test_two_that_are_cut_off_from_each_other_reach_the_third(self):
        for server in ("p0", "p1", "p2"):
            self.serve(server)
        self.lab.cut("p0", "p1")
        self.assert_silent("p0", "p1")
        self.assert_silent("p1", "p0")
        self.assert_reaches("p0", "p2")
        self.assert_reaches("p1", "p2")
        self.lab.heal()
        self.assert_reaches("p0", "p1")

    def test_one_that_is_cut_off_reaches_nobody(self):
        for server in ("p0", "p1", "hub"):
            self.serve(server)
        self.lab.cut("p0")
        self.assert_silent("p0", "p1")
        self.assert_silent("p1", "p0")
        self.assert_silent("p0", "hub")
        self.assert_reaches("p1", "hub")

    def test_without_the_hub_the_machines_have_each_other(self):
        for server in ("p0", "hub"):
            self.serve(server)
        self.lab.cut("hub")
        self.assert_silent("p0", "hub")
        self.assert_reaches("p1", "p0")

    def test_a_cut_ends_what_was_connected_before_and_heal_resumes_it(self):
        # A conversation that is open when the cut comes hears nothing, is not reset, and goes on afterwards.
        listener = self.lab["p1"].start(["python3", "-c", ECHO], stdout=-1, text=True)
        self.addCleanup(listener.communicate)
        self.addCleanup(listener.terminate)
        self.assertEqual(listener.stdout.readline(), "listening\n")
        talker = self.lab["p0"].start(["python3", "-c", TALK], stdin=-1, stdout=-1, text=True)
        self.addCleanup(talker.communicate)

        def say(word):
            talker.stdin.write(word + "\n")
            talker.stdin.flush()
            return talker.stdout.readline().strip()

        self.assertEqual(say("one"), "one")
        self.lab.cut("p0", "p1")
        self.assertEqual(say("two"), "nothing")
        self.lab.heal()
        self.assertEqual(say(""), "two")

    def test_what_is_not_there_cannot_be_cut(self):
        with self.assertRaisesRegex(LabError, "no `p7` here; known: hub, p0, p1, p2"):
            self.lab.cut("p7")
        with self.assertRaisesRegex(LabError, "from itself"):
            self.lab.cut("p0", "p0")

    def test_the_host_is_out_of_reach(self):
        # Only what the lab made is there: no route leads anywhere else.
        self.assertEqual(self.lab["p0"].run(["ip", "-4", "route", "show", "default"]).out.split()[:3], ["default", "via", HUB])
        self.assertEqual(self.lab["hub"].run(["ip", "-4", "route", "show", "default"]).out, "")


class Nat(LabCase):
    """Two LANs behind two NATs."""

    machines = 3
    network = "nat"

    def mappings(self):
        """The ports that the hub sees two connections from one port of p0 come from, to different ports of its own."""
        for port in (7001, 7002):
            self.serve("hub", port)
        seen = [self.connect("p0", HUB, port, 40000) for port in (7001, 7002)]
        router = self.lab.network.node("r0").address
        self.assertEqual([address for address, _ in seen], [router, router])
        return [int(port) for _, port in seen]

    def test_what_comes_from_inside_gets_out_and_nothing_gets_in(self):
        for server in ("hub", "p0", "p1", "p2"):
            self.serve(server)
        self.assert_reaches("p0", "hub")
        self.assert_reaches("p0", "p2")
        self.assert_silent("p1", "p0")
        self.assert_silent("hub", self.lab.network.node("p0").address)
        self.assert_silent("hub", self.lab.network.node("r0").address)

    def test_a_port_is_kept(self):
        self.assertEqual(self.mappings(), [40000, 40000])

    def test_cuts_behind_nat(self):
        self.addCleanup(self.lab.heal)
        self.serve("hub")
        self.lab.cut("p0", "hub")
        self.assert_silent("p0", "hub")
        self.assert_reaches("p2", "hub")
        self.lab.heal()
        self.lab.cut("r0", "hub")
        self.assert_silent("p2", "hub")
        self.assert_reaches("p1", "hub")
        with self.assertRaisesRegex(LabError, "behind different NATs"):
            self.lab.cut("p0", "p1")


class Symmetric(Nat):
    """NATs that use another port for each connection."""

    network = "symmetric"

    def test_a_port_is_kept(self):
        one, other = self.mappings()
        self.assertNotEqual(one, other)
        self.assertNotIn(40000, (one, other))


ECHO = """
import socket
server = socket.create_server(("0.0.0.0", 7000))
print("listening", flush=True)
connection, _ = server.accept()
while data := connection.recv(100):
    connection.sendall(data)
"""
TALK = """
import socket, sys
connection = socket.create_connection(("p1", 7000), 5)
connection.settimeout(1.5)
for word in sys.stdin:
    if word.strip():
        connection.sendall(word.strip().encode())
    else:
        connection.settimeout(20)
    try:
        print(connection.recv(100).decode(), flush=True)
    except TimeoutError:
        print("nothing", flush=True)
"""
