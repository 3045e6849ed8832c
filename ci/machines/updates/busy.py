"""A release that comes while a session runs: it waits."""

import json

from ..sandbox.case import SLOW
from ..sandbox.sessions import Sessions
from .case import AGENT, INSTALLED, UpdateCase, binary
from .releases import newer

# So long that the release is there and checked before it ends.
LONG = SLOW.replace("range(40)", "range(150)")


class Busy(UpdateCase):
    """Two machines, of which the first updates itself."""

    machines = 2

    def states(self):
        """The states of p0's session units."""
        listed = self.machine.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "e3-party@*.service"])
        return [line.split()[2] for line in listed.out.splitlines()]

    def said(self, *match):
        """When the first message of p0's agent with these fields was written, in microseconds."""
        lines = self.machine.journal(AGENT, "--output=json", *match).splitlines()
        return int(json.loads(lines[0])["__REALTIME_TIMESTAMP"])

    def test_it_is_tried_when_the_session_has_ended_well(self):
        process = self.show("MainPID")
        sessions = Sessions(self.lab, self.fleet)
        name = sessions.push(LONG)
        self.until("the session runs", lambda: "running" in self.machine.run(["e3-agent", "status"]).out)
        file = self.releases.push("0.2.0", newer(1))
        self.until("it is fetched and checked", lambda: (self.remembered().get("candidate") or {}).get("stage") == "ready")
        self.assertEqual((self.states(), self.runs()), (["active"], INSTALLED))
        verdict = sessions.watch(name)
        self.assertEqual(verdict["outcome"], "done", verdict)
        self.assertEqual(sessions.result("p0", name), sessions.result("p1", name))
        self.until_committed(file)
        self.assertEqual((self.tries(file), self.states()), (1, []))
        self.assertLess(self.said("E3_PROGRESS=done"), self.said("E3_FILE=sha256:" + file, "MESSAGE=executes an update"))
        # Nobody has seen the agent end, and the new one runs the next.
        self.assertEqual((self.show("MainPID"), self.show("NRestarts"), self.runs()), (process, "0", binary(file)))
        verdict = sessions.run(SLOW)
        self.assertEqual(verdict["outcome"], "done", verdict)
