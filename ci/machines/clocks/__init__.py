"""A machine whose clock is wrong, in a fleet of three (trust rule 10): `ci/lab clocks`. It is emulated, since containers have
the clock of their host, so this takes minutes.

| file | idea |
|---|---|
| `case` | what the tests share: a laboratory whose p0 boots at some time, a fleet, sessions |
| `past` | p0 lives in 1970, as a board without a battery does: it takes part, and accepts nothing that has expired |
| `future` | p0 lives in 2099: it runs nothing, says why, and recovers when its clock is set right |
| `mesh` | p0 lives in 2020, and its certificate for the mesh is of today: it says so, and joins when its clock is set right |
"""

from .. import suite

TESTS = ("past", "future", "mesh")


def run(names):
    """Runs these tests (none: all); True if all passed."""
    return suite.run(__name__, suite.chosen(names, TESTS))
