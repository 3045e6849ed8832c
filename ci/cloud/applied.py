"""`ci/tofu [NAME...]` runs all tests of the OpenTofu module or these."""

import os
import sys
import unittest

from . import module, real

MODULES = [module, real] if os.environ.get("E3_DO_PROVIDER") else [module]

loader, suite = unittest.defaultTestLoader, unittest.TestSuite()
for name in sys.argv[1:]:
    place = next((one for one in MODULES if hasattr(one, name.split(".")[0])), None)
    if place is None:
        sys.exit(f"there are no tests {name} in ci/cloud/module.py, nor, with E3_DO_PROVIDER, in ci/cloud/real.py")
    suite.addTest(loader.loadTestsFromName(name, place))
if not sys.argv[1:]:
    suite.addTests(loader.loadTestsFromModule(one) for one in MODULES)
done = unittest.TextTestRunner(verbosity=2).run(suite)
if real not in MODULES:
    print("NOT RUN: tests with DigitalOcean's own provider (ci/cloud/real.py); name its program as E3_DO_PROVIDER", file=sys.stderr)
sys.exit(not done.wasSuccessful())
