"""A web server in a thread, for `fake` and `relay`."""

import http.server
import socketserver
import threading


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One thread per connection. Whoever hangs up early has had enough."""

    daemon_threads = True
    # Eight parts at once, and more.
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


def serve(handler, owner):
    """Starts a server whose requests are handled by this class, with `owner` as its attribute; returns server and port."""
    server = Server(("127.0.0.1", 0), type("Bound", (handler,), {"owner": owner}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server, server.server_address[1]


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps connections, and logs nothing."""

    protocol_version = "HTTP/1.1"
    # An answer is one piece: with Nagle's algorithm its body would wait for an acknowledgement of its head.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
