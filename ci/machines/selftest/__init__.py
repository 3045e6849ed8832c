"""What the lab promises, tried: `ci/lab test`."""

from .. import suite

TESTS = ("commands", "machines", "networks", "leftovers")


def run():
    """Runs all tests; True if all passed."""
    return suite.run(__name__, TESTS)
