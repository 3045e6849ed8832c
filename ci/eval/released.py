#!/usr/bin/env python3
"""What hosted CI builds, of what ci/budget.toml lists: `ci/nix released`. Prints the `include` of a matrix as JSON."""

import json

from budget import BUDGET, load


def main():
    """One line."""
    print(json.dumps({"include": [
        {"system": system, "name": name}
        for system, things in load(BUDGET)["released"].items()
        for name, limits in things.items() if limits.get("hosted", True)
    ]}))


if __name__ == "__main__":
    main()
