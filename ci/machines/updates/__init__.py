"""The agent's update of itself, where it is at home: on a machine whose systemd starts it and watches it, and whose power goes
away. `ci/lab updates`.

| file | idea |
|---|---|
| `case`, `releases`, `programs` | what the tests share: a machine, releases as an owner makes them, bad binaries |
| `good` | a release that works is fetched, tried and kept |
| `busy` | one that comes while a session runs waits for its end |
| `bad` | one that does not is taken back, and never tried again |
| `foreign` | one that the release keys have not signed, or an older one, is refused |
| `full` | a disk without room |
"""

from .. import suite

TESTS = ("good", "busy", "bad", "foreign", "full")


def run(names):
    """Runs these tests (none: all); True if all passed."""
    return suite.run(__name__, suite.chosen(names, TESTS))
