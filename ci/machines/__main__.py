"""`python3 -m machines`: run by `ci/lab`."""

import sys

from .cli import main

sys.exit(main())
