"""The agent's update of itself, where it is at home: on a machine whose systemd starts it and watches it, and whose power goes
away. `ci/lab updates`.

| file | idea |
|---|---|
| `case`, `releases`, `programs` | what the tests share: a machine, releases as an owner makes them, bad binaries |
| `good` | a release that works is fetched, tried and kept |
| `bad` | one that does not is taken back, and never tried again |
| `foreign` | one that the release keys have not signed, or an older one, is refused |
| `full` | a disk without room |
"""

import unittest

from ..failure import LabError

TESTS = ("good", "bad", "foreign", "full")


def run(names):
    """Runs these tests (none: all); True if all passed."""
    unknown = set(names) - set(TESTS)
    if unknown:
        raise LabError(f"there are no tests called {', '.join(sorted(unknown))}; there are: {', '.join(TESTS)}")
    suite = unittest.defaultTestLoader.loadTestsFromNames(f"{__name__}.{name}" for name in names or TESTS)
    return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()
