"""Servers of somebody else's, started for the tests."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Program:
    """A server of somebody else's, with its output in a file."""

    def __init__(self, command, port, folder):
        self.log = folder / f"{Path(command[0]).name}.log"
        with self.log.open("wb") as log:
            # A group of its own: npm's programs start others.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.port = port
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"{command[0]} does not start: {self.log.read_text()}") from None
                time.sleep(0.05)

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(20)


def wait_until(what, question, seconds=30):
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(0.02)
