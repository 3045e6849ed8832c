#!/usr/bin/env python3
"""Builds the checks of the flake for this kind of computer, one after the other, which runs the virtual networks of ci/nixos.

Needs KVM, and a place from which Nix downloads what is built already. Prints a line for each, and fails if one does.
"""

import json
import sys
import time

from evaluate import options
from image import Builder


def main():
    """All of them, or those that are named."""
    parser = options(__doc__)
    parser.add_argument("only", nargs="*", help="only these checks")
    args = parser.parse_args()
    nix = Builder(args)
    checks = f"checks.{nix.system()}"
    names = args.only or json.loads(nix.answer(checks, [*nix.command(checks, "--json"), "--apply", "builtins.attrNames"]))
    failed = []
    for name in names:
        begin = time.monotonic()
        if nix.try_build(f"{checks}.{name}") is None:
            failed.append(name)
        print(f"{'FAILED' if name in failed else 'ok':6} {time.monotonic() - begin:6.0f} s  {name}", flush=True)
    if failed:
        sys.exit(f"error: {len(failed)} of {len(names)} checks fail: {' '.join(failed)}")


if __name__ == "__main__":
    main()
