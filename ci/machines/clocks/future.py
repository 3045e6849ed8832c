"""A clock that is far ahead makes everything look expired: nothing is run, and nothing is lost by that."""

import time

from ..faults.rig import SALARIES
from ..fleet import until
from .case import AGENT, ENROLMENT_SECONDS, STATE_SECONDS, ClockCase


# The machine's clock and the hub's are at least this many seconds apart (about 70 years).
APART = 70 * 365 * 86400


def says_clock_wrong(status):
    """Whether it says that its clock is ahead of the hub's by the years that it is."""
    reason = status["phase"].get("reason", {})
    return reason.get("kind") == "clock-wrong" and reason["seconds"] < -APART


class Future(ClockCase):
    """It is 2099; each test begins then, and ends with the right time."""

    rtc = "2099-06-01T12:00:00"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in cls.fleet.parties:
            cls.fleet.join(name)
        cls.fleet.enrolled(["p1", "p2"])
        until(lambda: "p0" in cls.fleet.status(), ENROLMENT_SECONDS, lambda: "p0 has not enrolled: " + cls.fleet.agent_log("p0"))
        cls.fleet.accept()
        cls.fleet.give_inputs(SALARIES)

    def setUp(self):
        self.addCleanup(self.set_right)
        if self.year() != 2099:
            self.p0.run(["date", "--utc", "--set", self.rtc])
        self.until(says_clock_wrong, "degraded by its clock")

    def set_right(self):
        """Sets p0's clock right, as time sync would: the agent goes on."""
        self.p0.run(["date", "--utc", f"--set=@{time.time():.0f}"])

    def until_ready(self):
        """It says so itself, and the fleet sees it."""
        self.until(lambda now: now["phase"]["name"] == "ready", "ready")
        self.fleet.enrolled(["p0"], STATE_SECONDS)

    def test_it_runs_nothing_stays_up_and_says_why(self):
        self.assertEqual(self.year(), 2099)
        # QEMU 7.2 turns 2099 into 2063 on its way to the kernel; it is far enough for this.
        self.assertGreater(self.hardware_year(), 2060)
        name = self.sign(top='valid_for = "1m"', preflight=10)
        self.fleet.push(name)
        # It does not even look at the session, since it refuses the head that names it.
        mine, *others = self.fleet.verdict(name, STATE_SECONDS)
        self.assertIsNone(mine)
        for receipt in others:
            self.assertEqual(receipt["outcome"], {"kind": "failed", "failure": {"party": 0, "reason": {"kind": "missing", "seconds": 10}}})
        self.assertEqual(self.ran(name), 0)
        seen = self.fleet.status()["p0"]
        self.assertEqual((seen["state"], seen["presence"]["degraded"]["kind"]), ("degraded", "clock-wrong"))
        self.p0.run(["systemctl", "is-active", AGENT])
        self.assertEqual(self.p0.run(["systemctl", "show", "--value", "--property=NRestarts", AGENT]).out, "0\n")

    def test_it_recovers_by_itself_when_its_clock_is_set_right(self):
        self.set_right()
        self.until_ready()
        self.assert_good_session()

    def test_the_fleet_hears_of_it_after_a_restart_at_the_right_time(self):
        self.set_right()
        self.until_ready()
        before = self.fleet.status()["p0"]["presence"]["counter"]
        self.p0.run(["systemctl", "restart", AGENT])
        until(lambda: self.fleet.status()["p0"]["presence"]["counter"] != before, STATE_SECONDS,
              lambda: "the hub has heard nothing new of p0")
