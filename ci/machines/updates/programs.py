"""Binaries that an owner should not have released: static, and they pass their self-check, which is all that can be asked
of them before they are tried.
"""

import functools
import subprocess
import tempfile
from pathlib import Path

SOURCE = """\
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What sd_notify(3) does, for the kind of socket that systemd 257 makes. */
__attribute__((unused)) static void ready(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *path = getenv("NOTIFY_SOCKET");
  int sock = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (!path || sock < 0) _exit(7);
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (sendto(sock, "READY=1", 7, 0, (struct sockaddr *)&address, sizeof address) < 0) _exit(8);
}

int main(int count, char **words) {
  for (int i = 1; i < count; i++)
    if (!strcmp(words[i], "self-check")) return 0;
  %s
}
"""
CRASHES = "abort();"
HANGS = "for (;;) pause();"
# Not even a signal reaches it, but the one that nobody can catch.
FALLS_ASLEEP = "ready(); kill(getpid(), SIGSTOP); for (;;) pause();"
ENDS_AT_ONCE = "ready(); return 0;"


@functools.cache
def program(run):
    """The bytes of a program that does this instead of an agent's work."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "bad")
        subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", made, "-x", "c", "-"],
                       input=SOURCE % run, text=True, check=True)
        return made.read_bytes()
