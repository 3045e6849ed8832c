"""Before the object storage: what passes is counted, and can be held back, refused or lost."""

import http.client
import re
import threading

from .web import Handler, serve

# What belongs to one connection.
HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Relay:
    """Passes requests on to `port`. After `hold_after` parts the next ones wait until `release`."""

    def __init__(self, port):
        self.target = port
        self.lock = threading.Lock()
        self.passed = threading.Condition(self.lock)
        self.reset()
        self.server, self.port = serve(Pass, self)

    def reset(self):
        with self.lock:
            self.parts, self.faults, self.hold_after, self.admitted = [], [], None, 0
            self.gate = threading.Event()

    def close(self):
        self.release()
        self.server.shutdown()
        self.server.server_close()

    def release(self, lose=False):
        """Lets go of what is held: onwards, or into nothing."""
        with self.lock:
            gate, self.gate, self.hold_after = self.gate, threading.Event(), None
            gate.lost = lose
        gate.set()

    def fail(self, method, path, times=1, status=403, body=DENIED):
        self.faults += [(method, path, status, body)] * times

    def fault(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault[0] == method and re.search(fault[1], path):
                    self.faults.remove(fault)
                    return fault[2:]
        return None

    def held(self):
        """What to wait for, if there is anything."""
        with self.lock:
            if self.hold_after is not None and self.admitted >= self.hold_after:
                return self.gate
            self.admitted += 1
            return None

    def has_passed(self, path):
        with self.passed:
            self.parts.append(path)
            self.passed.notify_all()

    def wait_for_parts(self, number, seconds=30):
        with self.passed:
            if not self.passed.wait_for(lambda: len(self.parts) >= number, seconds):
                raise AssertionError(f"{len(self.parts)} parts in {seconds} s, not {number}")


class Pass(Handler):
    """One request."""

    def do_any(self):
        relay, body = self.owner, self.body()
        is_part = self.command == "PUT" and "partNumber=" in self.path
        if is_part and (gate := relay.held()):
            gate.wait()
            if gate.lost:
                self.close_connection = True
                return None
        fault = relay.fault(self.command, self.path)
        if fault:
            return self.answer(fault[0], fault[1], [("content-type", "application/xml")])
        onward = http.client.HTTPConnection("127.0.0.1", relay.target, timeout=60)
        # With the name that was signed.
        onward.request(self.command, self.path, body, dict(self.headers))
        answer = onward.getresponse()
        content = answer.read()
        onward.close()
        if is_part and answer.status == 200:
            relay.has_passed(self.path)
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
        return self.answer(answer.status, content, headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any
