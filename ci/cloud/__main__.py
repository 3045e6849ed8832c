"""`ci/upload [NAME...]` runs all tests or these; `ci/upload --bench` measures."""

import sys
import unittest

from . import bench, cases

arguments = sys.argv[1:]
if arguments[:1] == ["--bench"]:
    sys.exit(bench.main())
loader = unittest.defaultTestLoader
suite = loader.loadTestsFromNames(arguments, cases) if arguments else loader.loadTestsFromModule(cases)
sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
