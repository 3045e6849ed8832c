"""A cloud's metadata service at 169.254.169.254: each machine is answered from a folder named by its address.

Run as a script at the hub's place of a laboratory; `Metadata` writes the folders. It imports nothing of ours.
"""

import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESS = "169.254.169.254"


class Handler(SimpleHTTPRequestHandler):
    """Files below the folder of whoever asks."""

    def translate_path(self, path):
        """See the base class; it has removed what leads out of the folder."""
        root = Path(self.directory)
        asked = Path(super().translate_path(path)).relative_to(root)
        return str(root / self.client_address[0] / asked)


def main():
    """Serves the folder that is named, and says so when it listens."""
    folder = sys.argv[1]
    with ThreadingHTTPServer((ADDRESS, 80), lambda *args: Handler(*args, directory=folder)) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
