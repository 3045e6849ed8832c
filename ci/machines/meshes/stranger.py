"""Somebody who is in no session and comes first: connects to addresses where one may be, again and again, and says what it likes.

Run as a script, in a machine or beside it: `python3 -I stranger.py '[["fd57::1", 11366, 80], …]'`: an address, a port, and how
many connections say nothing there and stay. It prints `begun` when every address was tried once, goes on until its standard
input ends, and prints what came of it, as JSON. It imports nothing of ours.
"""

import asyncio
import json
import os
import ssl
import sys
import time

# What MPyC's party 0 says first: its number, and keys.
MPYC = bytes(2) + bytes(48)
NOISE = bytes(range(256)) * 256
# For one connection, and for an answer.
CONNECT_SECONDS = 0.3
ANSWER_SECONDS = 0.5
PAUSE_SECONDS = 0.05
# What is kept of an answer.
HEARD = 16


class Target:
    """One address and port, and what came of it."""

    def __init__(self, host, port, crowd):
        self.host, self.port, self.crowd = host, port, crowd
        self.tried = self.connected = 0
        # Seconds by the clock that all machines share.
        self.first = None
        self.heard = set()

    async def connect(self, **how):
        """A connection, or an error."""
        self.tried += 1
        streams = await asyncio.wait_for(asyncio.open_connection(self.host, self.port, **how), CONNECT_SECONDS)
        self.connected += 1
        self.first = self.first or time.time()
        return streams

    async def say(self, words):
        """Says this, and listens."""
        reader, writer = await self.connect()
        try:
            writer.write(words)
            said = await asyncio.wait_for(reader.read(HEARD), ANSWER_SECONDS)
            if said:
                self.heard.add(said.hex())
        finally:
            writer.close()

    async def tls(self):
        """Speaks TLS, with no certificate, and asks for whatever there is."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await self.connect(ssl=context)
        try:
            writer.write(MPYC)
            said = await asyncio.wait_for(reader.read(HEARD), ANSWER_SECONDS)
            if said:
                self.heard.add("tls " + said.hex())
        finally:
            writer.close()

    async def once(self):
        """Everything that it likes to say."""
        for speak, *words in ((self.say, MPYC), (self.tls,), (self.say, NOISE)):
            try:
                await speak(*words)
            except (OSError, asyncio.TimeoutError, EOFError):
                continue

    async def on_and_on(self):
        """For ever."""
        while True:
            await self.once()
            await asyncio.sleep(PAUSE_SECONDS)

    async def linger(self):
        """Connects, says nothing, and comes back when it is sent away."""
        while True:
            try:
                reader, writer = await self.connect()
                try:
                    await reader.read(1)
                finally:
                    writer.close()
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(PAUSE_SECONDS)


async def main():
    """Until standard input ends."""
    targets = [Target(*target) for target in json.loads(sys.argv[1])]
    await asyncio.gather(*(target.once() for target in targets))
    # Kept, or they could be collected.
    work = [asyncio.create_task(target.on_and_on()) for target in targets]
    work += [asyncio.create_task(target.linger()) for target in targets for _ in range(target.crowd)]
    while not all(target.tried > target.crowd for target in targets):
        await asyncio.sleep(PAUSE_SECONDS)
    print("begun", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps([{**vars(target), "heard": sorted(target.heard)} for target in targets]), flush=True)
    # Without a word to anybody; and tasks that are told to end may not hear it (Python before 3.12, `wait_for`).
    os._exit(0)


asyncio.run(main())
