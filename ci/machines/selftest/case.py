"""What the tests share: a laboratory for each class, and probes that are sent from one place to another."""

import unittest

from ..lab import Lab

# A listener that answers each line with the sender's address and port, and says so when it listens.
SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", int(sys.argv[1])))
server.listen()
print("listening", flush=True)
while True:
    connection, peer = server.accept()
    connection.sendall(f"{peer[0].removeprefix('::ffff:')} {peer[1]}".encode())
    connection.close()
"""
# Connects to HOST PORT from source port FROM (0: any) and prints what the listener says.
CLIENT = """
import socket, sys
host, port, source = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = socket.socket()
client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
client.bind(("0.0.0.0", source))
client.settimeout(1.5)
client.connect((host, port))
print(client.recv(100).decode())
"""
PORT = 7000


class LabCase(unittest.TestCase):
    """Has `self.lab`, the same for all tests of a class; each finds it whole."""

    machines = 2
    network = "lan"
    regions = ()

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(cls.machines, network_kind=cls.network, regions=cls.regions))

    def serve(self, where, port=PORT):
        """Listens at `where` until the test ends."""
        listener = self.lab[where].start(["python3", "-c", SERVER, str(port)], stdout=-1, text=True)

        def stop():
            listener.terminate()
            listener.communicate()

        self.addCleanup(stop)
        self.assertEqual(listener.stdout.readline(), "listening\n")

    def connect(self, where, address, port=PORT, source=0):
        """What a listener says to a connection from `where`, or None if there is none."""
        done = self.lab[where].run(["python3", "-c", CLIENT, address, str(port), str(source)], check=False)
        return done.out.split() if done.status == 0 else None

    def assert_reaches(self, where, address, **more):
        """It does."""
        self.assertIsNotNone(self.connect(where, address, **more), f"{where} does not reach {address}")

    def assert_silent(self, where, address, **more):
        """It does not."""
        self.assertIsNone(self.connect(where, address, **more), f"{where} reaches {address}")
