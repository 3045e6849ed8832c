"""What a program of `e3 eval` measures of itself and of the way to its peers, as one line of JSON."""

import itertools
import json
import os
import resource
import statistics
import time

from mpyc.runtime import mpc

ROUNDS = 20
PINGS = 3
LOAD = 1 << 20  # bytes from each party to each other one


async def report(work):
    """Starts MPyC, measures the way to the peers, carries out `work`, and prints what came of it."""
    await mpc.start()
    found = await network() if len(mpc.parties) > 1 else {}
    before, begin = sent(), time.monotonic()
    await work()
    found["mpc_ms"] = 1000 * (time.monotonic() - begin)
    found["sent"] = sent() - before
    await mpc.shutdown()
    found["memory"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found))


async def network():
    """Milliseconds there and back to each later party and that a round with all others takes, and megabits per second from each
    one to this one."""
    await mpc.transfer(b"")  # everybody is here
    there_and_back = await round_trips()
    begin = time.monotonic()
    for _ in range(ROUNDS):
        await mpc.transfer(b"")
    rounds = (time.monotonic() - begin) / ROUNDS
    load = os.urandom(LOAD)
    begin = time.monotonic()
    await mpc.transfer(load)
    seconds = time.monotonic() - begin
    return {"rtt_ms": there_and_back, "round_ms": 1000 * rounds, "mbit_s": 8e-6 * LOAD * (len(mpc.parties) - 1) / seconds}


async def round_trips():
    """By party: the middle one of some messages that it answers at once. Two at a time, while nobody else sends to them."""
    found = {}
    for one, other in itertools.combinations(range(len(mpc.parties)), 2):
        times = []
        for _ in range(PINGS):
            begin = time.monotonic()
            for sender, receiver in ((one, other), (other, one)):
                await mpc.transfer(b"", senders=[sender], receivers=[receiver])
            times.append(time.monotonic() - begin)
        if mpc.pid == one:
            found[other] = round(1000 * statistics.median(times), 2)
    return found


def sent():
    """Bytes that this party has sent so far."""
    return sum(peer.protocol.nbytes_sent for peer in mpc.parties if peer.pid != mpc.pid)
