"""A fleet moves from one mesh to another: nobody is cut off on the way, and where the new one does not work nothing is lost."""

from ..cells import Violated
from ..fleet import until
from .rig import ANCHOR, JOIN_SECONDS, PARTIES

OLD, NEW = "nebula", "wireguard"
EVERYBODY = (*PARTIES, ANCHOR)
# By default, from the first party to the last.
PROGRAM_PORTS = range(11365, 11365 + len(PARTIES))


def moved(rig):
    """The fleet chooses another mesh while a session runs: the session ends well, the next one meets in the new mesh, and one
    that names the old one meets there."""
    rig.choose()
    rig.joined()
    running = rig.session("slow.py")
    rig.runs(running)
    rig.goes_to(NEW)
    rig.choose()
    took = rig.joined()
    rig.must_be_good(running)
    for mesh, top in ((NEW, ""), (OLD, f'mesh = "{OLD}"'), (NEW, f'mesh = "{NEW}"')):
        name = rig.session("slow.py", top=top)
        met = meets_at(rig, name)
        rig.must_be_good(name)
        expected = {standing(rig, party, mesh)["addresses"][0] for party in PARTIES}
        if not met or not met <= expected:
            raise Violated(f"a session with `{top}` met at {met}, and not in {mesh}: {expected}")
    return f"joined after {took:.1f} s"


def left(rig):
    """The old mesh is dropped: nothing of it stays, and sessions go on."""
    rig.fleet.e3("mesh", "drop", OLD)
    for party in EVERYBODY:
        until(lambda party=party: standing(rig, party, OLD) is None, JOIN_SECONDS, lambda party=party: f"{party} is still in {OLD}")
        state = rig.lab[party].run(["systemctl", "is-active", f"e3-mesh-{OLD}.service"], check=False).out.strip()
        if state != "inactive":
            raise Violated(f"{party}: {OLD} is {state}")
    rig.must_be_good(rig.session())
    return "good"


def does_not_answer(rig):
    """The fleet chooses a mesh that does not work: machines say so and stay where they are, sessions go on, the mesh that works
    cannot be dropped by mistake, and the other one can."""
    rig.fleet.e3("mesh", OLD, "--anchor", f"{ANCHOR}=203.0.113.77:4242")
    for party in PARTIES:
        until(lambda party=party: reason(rig, party, OLD) == "nobody-answers", JOIN_SECONDS,
              lambda party=party: f"{party} does not say it: {standing(rig, party, OLD)}")
        if standing(rig, party, NEW)["state"] != "joined":
            raise Violated(f"{party} has left {NEW}")
    rig.must_be_good(rig.session())
    refused = rig.fleet.e3("mesh", "drop", NEW, check=False)
    if refused.status == 0 or PARTIES[0] not in refused.err:
        raise Violated(f"{NEW} was dropped while nobody was in {OLD}: {refused.out}{refused.err}")
    missing = rig.fleet.verdict(rig.session(top=f'mesh = "{OLD}"'), 60)
    kinds = {receipt["outcome"]["failure"]["reason"]["kind"] for receipt in missing if receipt and "failure" in receipt["outcome"]}
    if kinds != {"not-in-mesh"}:
        raise Violated(f"a session that names {OLD} says {kinds}")
    rig.fleet.e3("mesh", "drop", OLD)
    for party in EVERYBODY:
        until(lambda party=party: standing(rig, party, OLD) is None, JOIN_SECONDS, lambda party=party: f"{party} is still in {OLD}")
    rig.must_be_good(rig.session())
    return "stayed; good"


CASES = (moved, left, does_not_answer)


def standing(rig, party, mesh):
    """How a machine says it stands with a mesh, or None."""
    return rig.meshes(party).get(mesh)


def reason(rig, party, mesh):
    """Why it is not in it."""
    return (standing(rig, party, mesh) or {}).get("reason", {}).get("kind")


def meets_at(rig, name):
    """At which addresses the first party's program has reached the others; it runs."""
    rig.runs(name)
    sockets = rig.lab[PARTIES[0]].run(["ss", "-Htn", "state", "established"]).out.splitlines()
    peers = [peer.rsplit(":", 1) for *_, peer in (line.split() for line in sockets)]
    return {address.strip("[]") for address, port in peers if int(port) in PROGRAM_PORTS}
