"""The process that stands for the distance between regions: an Ethernet switch that hands each frame on as much later as light and
routers would need.

Run as a script by `network`, in a network namespace that has nothing but its ports; it imports nothing of ours. A kernel with
tc's netem could do the same, but not all have it, and then nobody could try the rest. Frames are taken as machines send them,
which may be 64 KiB whose checksum is not made yet: the header that says so goes along, so a long way costs no throughput.

Argument: {"regions": {port: region, …}, "one_way_ms": [[region, region, milliseconds], …]}
"""

import ctypes
import heapq
import json
import select
import socket
import sys
import time

ETH_P_ALL = 3
# From linux/if_packet.h and asm-generic/socket.h; Python does not name them.
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
SO_RCVBUFFORCE = 33
# A struct virtio_net_hdr, and the frame: two addresses of six bytes each, and then the rest.
VNET, ADDRESS = 10, 6
LARGEST = VNET + 18 + (1 << 16)
# What waits at a port at once: a second of a gigabit.
BUFFER = 128 << 20
# From linux/prctl.h: sleep as exactly as the kernel can, instead of 50 µs more.
PR_SET_TIMERSLACK = 29


def port(name):
    """A network device, all frames that come in by it, and a way out."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    end.bind((name, ETH_P_ALL))
    end.setblocking(False)
    return end


class Switch:
    """Ports, who was heard at which, and what is on its way."""

    def __init__(self, regions, one_way):
        self.ends = {port(name): region for name, region in regions.items()}
        self.seconds = {(one, other): ms / 1000 for a, b, ms in one_way for one, other in ((a, b), (b, a))}
        self.heard = {}
        # When it is there, a number that keeps the order, where it gets out, and the frame.
        self.on_its_way = []
        self._count = 0

    def run(self):
        """For ever."""
        while True:
            wait = max(0.0, self.on_its_way[0][0] - time.monotonic()) if self.on_its_way else None
            for end in select.select(list(self.ends), (), (), wait)[0]:
                self.take(end)
            self.hand_on()

    def take(self, end):
        """Everything that has come in by a port."""
        now = time.monotonic()
        while True:
            try:
                frame = end.recv(LARGEST)
            except BlockingIOError:
                return
            to, sender = frame[VNET:VNET + ADDRESS], frame[VNET + ADDRESS:VNET + 2 * ADDRESS]
            self.heard[sender] = end
            known = self.heard.get(to)
            for other in [known] if known else self.ends:
                if other is not end:
                    self._count += 1
                    late = self.seconds[self.ends[end], self.ends[other]]
                    heapq.heappush(self.on_its_way, (now + late, self._count, other, frame))

    def hand_on(self):
        """Everything that is there by now. A port that takes no more loses it, as routers do."""
        now = time.monotonic()
        while self.on_its_way and self.on_its_way[0][0] <= now:
            _, _, end, frame = heapq.heappop(self.on_its_way)
            try:
                end.send(frame)
            except OSError:
                pass


def main():
    """Opens the ports, says so, and switches."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    wanted = json.loads(sys.argv[1])
    switch = Switch(wanted["regions"], wanted["one_way_ms"])
    print("ready", flush=True)
    switch.run()


main()
