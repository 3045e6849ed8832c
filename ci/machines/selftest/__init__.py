"""What the lab promises, tried: `ci/lab test`."""

import unittest


def run():
    """Runs all tests; True if all passed."""
    suite = unittest.defaultTestLoader.loadTestsFromNames(f"{__name__}.{name}" for name in ("machines", "networks", "leftovers"))
    return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()
