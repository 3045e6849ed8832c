"""`python3 -m machines.sandbox [rights] [inside] [trouble]`."""

import sys

from . import run

sys.exit(not run(*([tuple(sys.argv[1:])] if sys.argv[1:] else [])))
