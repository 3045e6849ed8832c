"""Networks behave like the real ones they stand for, and cuts cut."""

import re
import statistics
import unittest

from ..failure import LabError
from ..plan import HUB
from ..regions import PLACES, PUBLISHED, one_way, round_trip_ms
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


class Model(unittest.TestCase):
    """How far regions are said to be from each other."""

    def test_it_is_near_what_was_measured(self):
        for (one, other), ms in PUBLISHED.items():
            with self.subTest(f"{one} {other}"):
                self.assertAlmostEqual(round_trip_ms(one, other), ms, delta=0.2 * ms)

    def test_every_pair_is_there_once(self):
        count = len(PLACES)
        self.assertEqual(len({frozenset(pair[:2]) for pair in one_way(PLACES)}), count * (count + 1) // 2)
        self.assertEqual(len(one_way(PLACES)), count * (count + 1) // 2)


class Regions(LabCase):
    """Machines that are far from each other."""

    machines = 3
    regions = ("ams3", "nyc3", "sgp1")

    def round_trip(self, where, address):
        said = self.lab[where].run(["ping", "-n", "-c", "10", "-i", "0.1", address]).out
        return statistics.median(map(float, re.findall(r"time=([\d.]+)", said)))

    def test_packets_take_as_long_as_the_model_says(self):
        where = {"hub": "ams3", "p0": "ams3", "p1": "nyc3", "p2": "sgp1"}
        for one, other in (("p0", "p1"), ("p1", "p2"), ("p2", "p0"), ("p0", "hub"), ("p2", "hub")):
            with self.subTest(f"{one} {other}"):
                address = HUB if other == "hub" else self.lab.network.node(other).address
                expected = round_trip_ms(where[one], where[other])
                found = self.round_trip(one, address)
                self.assertGreaterEqual(found, expected)
                self.assertLess(found, expected + LATE_MS)

    def test_a_long_way_is_as_wide_as_a_short_one(self):
        """Many bytes at once arrive whole, and not one packet after the other."""
        taker = self.lab["p2"].start(["python3", "-c", TAKE], stdout=-1, text=True)
        self.addCleanup(taker.communicate)
        self.addCleanup(taker.terminate)
        self.assertEqual(taker.stdout.readline(), "listening\n")
        self.lab["p0"].run(["python3", "-c", GIVE, "p2"])
        self.assertEqual(taker.stdout.readline(), f"{64 << 20} good\n")

    def test_nothing_can_be_cut(self):
        with self.assertRaisesRegex(LabError, "nothing can be cut"):
            self.lab.cut("p0")


# What a busy computer adds to a round trip.
LATE_MS = 25
TAKE = """
import socket
server = socket.create_server(("0.0.0.0", 7000))
print("listening", flush=True)
connection, _ = server.accept()
found = b"".join(iter(lambda: connection.recv(1 << 20), b""))
print(len(found), "good" if found == bytes(range(256)) * (1 << 18) else "broken", flush=True)
"""
GIVE = """
import socket, sys
socket.create_connection((sys.argv[1], 7000), 20).sendall(bytes(range(256)) * (1 << 18))
"""
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
