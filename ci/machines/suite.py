"""Tests run by their names: what `ci/lab sandbox` and its like have in common."""

import unittest

from .failure import LabError


def run(package, names):
    """Runs the tests of these modules of a package; True if all passed."""
    suite = unittest.defaultTestLoader.loadTestsFromNames(f"{package}.{name}" for name in names)
    # Now: a suite forgets its tests as it runs them.
    tests = list(flat(suite))
    try:
        return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()
    except KeyboardInterrupt:
        undo(tests)
        raise


def chosen(names, all_names):
    """Which modules a person means: these, or without a name all of them."""
    unknown = set(names) - set(all_names)
    if unknown:
        raise LabError(f"there are no tests called {', '.join(sorted(unknown))}; there are: {', '.join(all_names)}")
    return names or all_names


def flat(suite):
    """The tests in a suite, and in the suites in it."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def undo(tests):
    """What unittest leaves out when it is interrupted: laboratories are taken down by these."""
    for test in tests:
        test.doCleanups()
    for case in dict.fromkeys(map(type, tests)):
        case.doClassCleanups()
