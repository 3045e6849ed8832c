"""Tables of cells, such as those of `ci/lab faults` and `ci/lab meshes`: what a session in a cell came to, what a cell raises,
and how all of them are printed."""

import json


class Violated(Exception):
    """Something that must hold does not: the cell has failed."""


def outcome(parties, receipts, seconds):
    """What the parties of a session say in the end: `good`, or (kind, who is to blame) of each; `seconds` is how long they
    were waited for."""
    silent = [party for party, receipt in zip(parties, receipts) if receipt is None]
    if silent:
        raise Violated(f"no receipt from {', '.join(silent)} within {seconds} s")
    outcomes = [receipt["outcome"] for receipt in receipts]
    if all(said["kind"] == "done" for said in outcomes):
        return "good"
    return [("done", None) if said["kind"] == "done" else (said["failure"]["reason"]["kind"], said["failure"]["party"])
            for said in outcomes]


def is_lost(verdict):
    """Whether a session ended on every party because one could not be heard any more. Two who have lost each other are both right."""
    return verdict != "good" and {kind for kind, _ in verdict} == {"lost"}


def show(cells, args, line, markdown):
    """Prints all cells, as the command line asks for; True if none has failed."""
    if args.json:
        print(json.dumps({"cells": cells}))
    elif args.markdown:
        print(markdown(cells))
    else:
        for cell in cells:
            print(line(cell))
    return all(cell["verdict"] != "fail" for cell in cells)
