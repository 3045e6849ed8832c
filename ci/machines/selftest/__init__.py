"""What the lab promises, tried: `ci/lab test`."""

import unittest


TESTS = ("commands", "machines", "networks", "leftovers")


def run():
    """Runs all tests; True if all passed."""
    suite = unittest.defaultTestLoader.loadTestsFromNames(f"{__name__}.{name}" for name in TESTS)
    return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()
