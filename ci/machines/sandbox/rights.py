"""The agent's user manages its own units and nothing else: what somebody could do who has taken the agent over."""

import os
import unittest

from ..lab import Lab

HEX = "0123456789abcdef" * 2
UNIT = f"e3-party@{HEX}.service"
FOLDER = f"/run/e3party/{HEX}"
MANAGER = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"]
# A service that writes a file as root, in the words of StartTransientUnit.
OWNED = "/root/owned"
TRANSIENT = ["StartTransientUnit", "ssa(sv)a(sa(sv))"]
PROPERTIES = ["1", "ExecStart", "a(sasb)", "1", "/usr/bin/touch", "2", "touch", OWNED, "false", "0"]
# What systemd reads for a session, laid out as the agent does.
LAID_OUT = f"""
set -eu; umask 022; cd /run/e3party; rm -rf {HEX}; mkdir -p {HEX}/view {HEX}/inputs {HEX}/tls /var/lib/e3/try
echo 'print(open("/proc/self/mountinfo").read())' > {HEX}/view/gate.py
for name in program mpyc large; do ln -s /var/lib/e3/try {HEX}/$name; done
echo kept > {HEX}/stdout; echo kept > {HEX}/stderr
"""


class Rights(unittest.TestCase):
    """One machine with the agent installed and no fleet."""

    # Commands that take the unit of sessions from the machine, and give it back.
    template_away = "mv /usr/lib/systemd/system/e3-party@.service /root"
    template_back = "mv /root/e3-party@.service /usr/lib/systemd/system"

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab(1, name="sandbox-rights", agent=os.environ["E3_AGENT"]))
        cls.machine = cls.lab["p0"]

    def call(self, method, *args, user="e3"):
        """Calls systemd over the bus."""
        return self.machine.run(["busctl", "call", *MANAGER, method, *args], user=user, check=False)

    def assert_refused(self, done):
        """Refused for want of a permission, and not because the call was wrong."""
        self.assertNotEqual(done.status, 0, done)
        self.assertRegex(done.err, "Interactive authentication required|Access denied|Permission denied")

    def test_no_other_unit(self):
        names = ["dbus.service", "e3-agent.service", "e3-party.slice", "ssh.service", "multi-user.target", "e3-import.service",
                 f"e3-party@{HEX[1:]}.service", f"e3-party@{HEX}0.service", f"e3-party@{HEX.upper()}.service",
                 f"xe3-party@{HEX}.service", f"e3-party@{HEX}.socket", "e3-party@x.service", "e3-party@../x.service",
                 "e3-mesh-try.service", "e3-update.service"]
        for name in names:
            folder = "/run/systemd/system/"
            if "/" not in name and not self.machine.succeeds(["systemctl", "cat", name]):
                # So that it is the permission which is missing, not the unit.
                lines = {"service": "[Service]\nExecStart=/usr/bin/true\n", "socket": "[Socket]\nListenStream=/run/try\nAccept=no\n"}
                self.machine.write(folder + name, lines.get(name.rpartition(".")[2], ""))
        self.machine.run(["systemctl", "daemon-reload"])
        for name in names:
            for method in ["StartUnit", "StopUnit", "RestartUnit"]:
                with self.subTest(f"{method} {name}"):
                    done = self.call(method, "ss", name, "replace")
                    if "/" in name:
                        self.assertNotEqual(done.status, 0)
                    else:
                        self.assert_refused(done)

    def test_nothing_but_starting_stopping_and_limits_of_its_own(self):
        limits = ["sba(sv)", None, "true", "1", "MemoryMax", "t", "1000000000"]
        agent = ["e3-agent.service"]
        for method, *args in [
            ("SetUnitProperties", limits[0], "e3-agent.service", *limits[2:]),
            ("SetUnitProperties", limits[0], "e3-party.slice", *limits[2:]),
            ("KillUnit", "ssi", "dbus.service", "all", "9"),
            ("KillUnit", "ssi", "e3-agent.service", "all", "9"),
            ("EnableUnitFiles", "asbb", "1", *agent, "false", "true"),
            ("MaskUnitFiles", "asbb", "1", *agent, "true", "true"),
            ("LinkUnitFiles", "asbb", "1", "/tmp/x.service", "true", "true"),
            ("Reload",), ("Reexecute",), ("SetEnvironment", "as", "1", "LD_PRELOAD=/tmp/x.so"),
            ("RestartUnit", "ss", UNIT, "replace"), ("FreezeUnit", "s", "dbus.service"),
            ("BindMountUnit", "sssbb", "e3-agent.service", "/etc", "/work", "false", "true"),
        ]:
            with self.subTest(method):
                self.assert_refused(self.call(method, *args))
        self.assertEqual(self.machine.state(), "running")

    def test_its_own_units(self):
        for method, *args in [
            ("StopUnit", "ss", UNIT, "replace"),
            ("SetUnitProperties", "sba(sv)", UNIT, "true", "1", "TasksMax", "t", "7"),
        ]:
            with self.subTest(method):
                done = self.call(method, *args)
                self.assertEqual(done.status, 0, done)

    def test_no_property_makes_a_session_root(self):
        # systemd would write what is set into a drop-in, and a description as it is given: with whatever lines it has.
        lines = ["a session", "[Service]", "DynamicUser=no", "User=root", "PrivateUsers=no", "RootDirectory=", "BindReadOnlyPaths=",
                 "TemporaryFileSystem=", "LoadCredential=", "WorkingDirectory=", "StandardOutput=null", "StandardError=null",
                 "ProtectSystem=no", "ProtectHome=no", "PrivateTmp=no", "SystemCallFilter=", "CapabilityBoundingSet=~",
                 "ExecStart=", f"ExecStart=/bin/touch {OWNED}"]
        for digit, only_now in [("5", "true"), ("6", "false")]:
            with self.subTest(only_now=only_now):
                unit = f"e3-party@{digit * 32}.service"
                self.addCleanup(self.machine.run, ["systemctl", "reset-failed", unit], check=False)
                self.call("SetUnitProperties", "sba(sv)", unit, only_now, "1", "Description", "s", "\n".join(lines))
                self.call("StartUnit", "ss", unit, "replace")
                self.machine.run(["systemctl", "stop", unit], check=False)
                self.assertNotIn(self.machine.run(["systemctl", "show", "-P", "User", unit]).out.strip(), ("root", "0"))
                self.assertFalse(self.machine.succeeds(["test", "-e", OWNED]))

    def test_only_the_agents_user_may(self):
        self.assert_refused(self.call("StopUnit", "ss", UNIT, "replace", user="nobody"))

    def test_no_transient_unit_whatever_its_name(self):
        # The second name may be started; if the template's file is not there, a transient unit could have the name.
        for name in ["run-1.service", UNIT, "e3-agent.service"]:
            with self.subTest(name):
                self.assert_refused(self.call(*TRANSIENT, name, "fail", *PROPERTIES))
        self.machine.run(["sh", "-euc", self.template_away])
        self.addCleanup(self.machine.run, ["systemctl", "daemon-reload"])
        self.addCleanup(self.machine.run, ["sh", "-euc", self.template_back])
        self.machine.run(["systemctl", "daemon-reload"])
        self.assert_refused(self.call(*TRANSIENT, UNIT, "fail", *PROPERTIES))
        self.assertFalse(self.machine.succeeds(["test", "-e", OWNED]))
        # The call is right: root may.
        done = self.call(*TRANSIENT, "run-1.service", "fail", *PROPERTIES, user="root")
        self.assertEqual(done.status, 0, done)
        self.machine.run(["timeout", "10", "sh", "-c", f"until [ -e {OWNED} ]; do :; done"])
        self.machine.run(["rm", OWNED])

    def start(self, spoil):
        """Starts a session's unit by hand, its folder laid out and then spoilt; returns what the journal says."""
        self.machine.run(["systemctl", "stop", UNIT], check=False)
        self.machine.run(["journalctl", "--rotate"])
        self.machine.run(["journalctl", "--vacuum-time=1us", "--quiet"])
        self.machine.run(["sh", "-c", f"{LAID_OUT}\n{spoil}"], user="e3")
        self.machine.run(["systemctl", "start", UNIT], user="e3", check=False)
        # It waits till the unit is up or has failed, and then for the gate to have printed.
        self.machine.run(["systemctl", "stop", UNIT], user="e3", check=False)
        self.machine.run(["systemctl", "reset-failed", UNIT], check=False)
        self.machine.run(["journalctl", "--sync"])
        # Not by --unit: what is said in the unit's name, by a process that ends at once, is missing there now and then.
        return self.machine.run(["journalctl", "--no-pager", f"UNIT={UNIT}", "+", f"_SYSTEMD_UNIT={UNIT}"]).out

    def test_no_path_leads_systemd_to_a_file_that_is_not_the_agents(self):
        self.machine.write("/root/secret/key", "a secret of root\n", mode="0600")
        self.machine.write("/root/target", "untouched\n", mode="0600")
        root = "Too many levels of symbolic links"
        with self.subTest("it starts as it is laid out"):
            said = self.start("")
            self.assertIn("Started", said)
            self.assertNotIn("Failed", said)
        with self.subTest("an output"):
            self.assertIn(root, self.start(f"rm {HEX}/stdout; ln -s /root/target {HEX}/stdout"))
            self.assertEqual(self.machine.read("/root/target"), "untouched\n")
        for name in ["inputs", "tls"]:
            with self.subTest(f"credentials: {name}"):
                said = self.start(f"rmdir {HEX}/{name}; ln -s /root/secret {HEX}/{name}")
                self.assertIn("status=243/CREDENTIALS", said)
                said = self.start(f"ln -s /root/secret/key {HEX}/{name}/key")
                self.assertNotIn("a secret", self.machine.read(f"{FOLDER}/stdout") + said)
        with self.subTest("a hard link"):
            link = self.machine.run(["ln", "/root/target", f"{FOLDER}/stdout2"], check=False)
            self.assertIn("Invalid cross-device link", link.err)
        with self.subTest("the folder itself"):
            moved = self.machine.run(["mv", "/run/e3party", "/run/e3/away"], user="e3", check=False)
            self.assertNotEqual(moved.status, 0)

    def test_what_systemd_says_of_the_units(self):
        for unit in ["e3-agent.service", UNIT]:
            with self.subTest(unit):
                self.machine.run(["systemd-analyze", "security", "--no-pager", "--threshold=15", unit])
        units = ["e3-agent.service", UNIT, "e3.slice", "e3-party.slice", "run-e3party.mount", "e3-import.path",
                 "e3-import.service"]
        done = self.machine.run(["systemd-analyze", "verify", *units])
        self.assertEqual(done.out + done.err, "")
