"""A release that works: fetched, tried, kept."""

from .case import UpdateCase, binary
from .releases import newer


class Good(UpdateCase):
    """One machine, and agents that work."""

    def test_it_is_fetched_and_tried_and_kept_over_a_loss_of_power(self):
        process = self.show("MainPID")
        file = self.releases.push("0.2.0", newer(1))
        self.until_committed(file)
        # It took over in the process that systemd started: nobody has seen the agent end.
        self.assertEqual((self.show("MainPID"), self.show("NRestarts")), (process, "0"))
        self.reboot()
        self.until_runs(binary(file))
        self.assertEqual(self.trouble(), {})
        self.fleet.enrolled(["p0"])
        # The owner's newest word is heard by the new one.
        self.until_committed(self.releases.push("0.3.0", newer(2)))

    def test_one_that_crashes_after_it_was_kept_stays(self):
        file = self.releases.push("0.2.0", newer(1))
        self.until_committed(file)
        for _ in range(5):
            before = self.show("MainPID")
            self.machine.kill("e3-agent.service")
            self.until("systemd starts it again", lambda before=before: self.show("MainPID") not in (before, "0"))
        self.until_runs(binary(file))
        self.assertEqual(self.trouble(), {})


class SlowTrial(UpdateCase):
    """The same, with time to disturb it."""

    trial_seconds = 8

    def test_a_loss_of_power_in_the_trial(self):
        file = self.releases.push("0.2.0", newer(1))
        self.until_runs(binary(file), "it is on trial")
        self.reboot()
        self.assertIsNone(self.remembered().get("committed"))
        self.until_runs(binary(file), "it is on trial again")
        self.until_committed(file)
        self.assertEqual(self.tries(file), 2)
