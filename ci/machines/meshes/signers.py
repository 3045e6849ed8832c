"""Certificates where heads need the signatures of two owners out of three: each has the file in turn, and none can let anybody in alone."""

import json

from ..cells import Violated
from .cases import key_gone

NEW = ("second", "third")
LATE = "p2"


def signed_by_two(rig):
    """The fleet's heads come to need two signatures, and certificates with them: one that the authority's owner has signed alone lets
    nobody in, however often he does so; the second owner's signature does, and publishes it."""
    roles = []
    for name in NEW:
        if not (rig.fleet.folder / f"{name}.pem").exists():
            rig.fleet.e3("key", "new", f"{name}.pem")
        did = json.loads(rig.fleet.e3("key", "show", f"{name}.pem", "--json").out)["key"]
        roles += ["--add", f"head={did}"]
    rotated(rig, *roles, "--threshold", "head=2")
    head = rig.fleet.e3("fleet", "push", "root.json", "--json", check=False)
    waiting, = (rig.fleet.folder / "demo").glob("head-*.json")
    if not head.status:
        raise Violated(f"a head was published that one has signed: {head.out}")
    rig.fleet.e3("fleet", "sign", waiting, "--key", f"{NEW[0]}.pem")
    rig.fleet.e3("fleet", "push", waiting)
    key_gone(rig, LATE)
    for _ in range(2):
        said = json.loads(rig.fleet.e3("mesh", "sign", "--json").out)
        # Those of the others, which one has signed, do not count any more either.
        if said["signed"] or LATE not in said["waiting"]["names"] or said["waiting"]["valid"] != 1:
            raise Violated(f"one of two signatures does: {said}")
    rig.waits_for(LATE, "needs-approval")
    copy = rig.fleet.folder / "copy.jsonl"
    copy.write_bytes((rig.fleet.folder / "demo/mesh" / rig.backend / "certificates.jsonl").read_bytes())
    said = json.loads(rig.fleet.e3("mesh", "sign", copy, "--key", f"{NEW[1]}.pem", "--json").out)
    if LATE not in said["signed"] or "waiting" in said:
        raise Violated(f"two signatures do not do: {said}")
    rig.waits_for(LATE, "joined")
    rig.joined()
    # One is enough again, for what comes after.
    rotated(rig, "--threshold", "head=1")
    rig.fleet.e3("fleet", "push", "root.json")
    waiting.unlink()
    rig.must_be_good(rig.session())
    return "good"


def rotated(rig, *change):
    """The next root, in a file, signed by who has made the fleet."""
    (rig.fleet.folder / "root.json").unlink(missing_ok=True)
    rig.fleet.e3("fleet", "rotate", *change, "--output", "root.json")
