"""A clock that is behind the floor is lifted to it: the newest time that somebody trusted has signed."""

from datetime import datetime, timezone

from ..fleet import until
from .case import AGENT, ENROLMENT_SECONDS, SALARIES, STATE_SECONDS, ClockCase

# How long the session that expires may be started.
VALID_SECONDS = 10


def instant(text):
    """A time as status and manifests have it."""
    return datetime.fromisoformat(text)


class Past(ClockCase):
    """It is 1970, as on a board whose clock has no battery."""

    # Not the first: Linux refuses a time at which the machine was not even switched on in 1970.
    rtc = "1970-01-02T00:00:00"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in cls.fleet.parties:
            cls.fleet.join(name)
        cls.fleet.enrolled(cls.fleet.parties, ENROLMENT_SECONDS)
        cls.fleet.accept()
        cls.fleet.give_inputs(SALARIES)

    def test_it_joins_and_takes_part_in_sessions(self):
        self.assertEqual((self.hardware_year(), self.year()), (1970, 1970))
        self.assert_good_session()
        self.assertEqual(self.year(), 1970, "nobody has set its clock")

    def test_an_expired_session_is_refused_once_a_newer_time_was_signed(self):
        self.p0.run(["systemctl", "stop", AGENT])
        name = self.sign(top=f'valid_for = "{VALID_SECONDS}s"', preflight=5)
        self.fleet.push(name)
        signed = datetime.now(timezone.utc)
        until(lambda: (datetime.now(timezone.utc) - signed).total_seconds() > VALID_SECONDS, 2 * VALID_SECONDS, lambda: "")
        self.fleet.e3("hub", "renew")
        self.p0.run(["systemctl", "start", AGENT])

        # By its own clock, the session is still to be started for half a century.
        self.assertEqual(self.year(), 1970)
        self.until(lambda now: now["head_signed"] and instant(now["head_signed"]) >= signed, "at the newest head")
        receipt = self.fleet.verdict(name, STATE_SECONDS)[0]
        self.assertEqual(self.ran(name), 0)
        self.assertIsNotNone(receipt)
        self.assertEqual(receipt["outcome"]["kind"], "failed")
        self.assertEqual(receipt["outcome"]["failure"]["reason"]["refusal"]["rule"], "expired", receipt)
