"""What runs on each image: everything that should, nothing that has failed, nobody as root who need not be."""

import subprocess

from ..sandbox.sessions import until
from .case import ImageCase
from .rig import HOSTNAME, SSH_KEY

AGENT = "e3-agent.service"
AGENT_PORT = 7332
# One that a careless service might listen at.
OTHER_PORT = 8080
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


class System(ImageCase):
    """NixOS' own activation has made these machines from nothing but their store."""

    def test_it_is_nixos_it_is_up_and_nothing_has_failed(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                self.assertIn("ID=nixos", machine.read("/etc/os-release"))
                self.assertEqual(machine.run(["readlink", "-f", "/run/current-system"]).out.strip(), self.rig.systems[image])
                failed = machine.run(["systemctl", "--failed", "--no-legend", "--plain"]).out
                self.assertEqual(failed, "", machine.console()[-2000:])
                self.assertEqual(machine.state(), "running")

    def test_every_unit_comes_from_the_image(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                listed = machine.run(["systemctl", "show", "*", "--property=FragmentPath", "--all"]).out.split()
                self.assertIn("FragmentPath=/etc/systemd/system/e3-agent.service", listed)
                self.assertEqual([line for line in listed if line.startswith("FragmentPath=/usr")], [])

    def test_whatever_wakes_the_importer_and_the_banner_is_active(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                for unit in ("e3-import.path", "e3-import.timer"):
                    self.assertEqual(self.show(machine, unit, "ActiveState"), {"ActiveState": "active"}, unit)

    def test_the_agent_is_active_and_nobody(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                shown = self.show(machine, AGENT, "ActiveState", "MainPID", "NRestarts")
                self.assertEqual((shown["ActiveState"], shown["NRestarts"]), ("active", "0"))
                status = dict(line.split(":", 1) for line in machine.read(f"/proc/{shown['MainPID']}/status").splitlines())
                uid = machine.run(["id", "-u", "e3"]).out.strip()
                self.assertNotEqual(uid, "0")
                self.assertEqual(set(status["Uid"].split()), {uid})
                for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
                    self.assertEqual(int(status[kind], 16), 0, kind)
                self.assertEqual(status["NoNewPrivs"].strip(), "1")
                machine.run(["systemd-analyze", "security", "--no-pager", "--threshold=15", AGENT])

    def test_the_agents_settings_are_those_of_the_image(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                settings = machine.read("/etc/e3/agent.toml")
                self.assertIn('supervisor = "systemd"', settings)
                self.assertIn('python = "/nix/store/', settings)

    def test_nobody_has_a_password(self):
        for image, machine in self.machines.items():
            with self.subTest(image):
                shadow = [line.split(":") for line in machine.read("/etc/shadow").splitlines()]
                self.assertIn("root", [entry[0] for entry in shadow])
                self.assertEqual([entry[0] for entry in shadow if entry[1][:1] not in ("!", "*")], [])

    def test_others_reach_the_agent_and_nothing_else(self):
        for image, machine in self.machines.items():
            # What reaches a machine in WSL is for Windows to say.
            if image != "wsl":
                with self.subTest(image):
                    self.try_ports(machine)

    def try_ports(self, machine):
        """Is somebody to listen there, the hub's computer cannot connect to it; to the agent it can."""
        address = self.rig.lab.network.node(machine.name).address
        here = ["python3", "-c", CONNECT, "127.0.0.1", str(OTHER_PORT)]
        service = machine.start(["timeout", "60", "python3", "-m", "http.server", str(OTHER_PORT)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until("somebody listens", lambda: machine.succeeds(here))
            hub = self.rig.lab.hub
            self.assertFalse(hub.succeeds(["python3", "-c", CONNECT, address, str(OTHER_PORT)]))
            self.assertTrue(hub.succeeds(["python3", "-c", CONNECT, address, str(AGENT_PORT)]))
        finally:
            service.kill()
            service.wait()

    def test_a_droplet_takes_its_name_and_its_keys_from_the_metadata(self):
        droplet = self.machines["digitalocean"]
        self.assertEqual(droplet.run(["hostname"]).out.strip(), HOSTNAME)
        self.assertEqual(droplet.read("/root/.ssh/authorized_keys").strip(), SSH_KEY)
        self.assertEqual(self.show(droplet, "sshd.service", "ActiveState"), {"ActiveState": "active"})

    def test_without_a_key_there_is_no_ssh(self):
        if "wsl" in self.machines:
            self.assertFalse(self.machines["wsl"].succeeds(["systemctl", "cat", "sshd.service"]))

    def test_a_pi_lets_in_who_has_the_key_that_its_join_file_names_and_nobody_else(self):
        machine, rig = self.machines["raspberrypi"], self.rig
        until("sshd runs", lambda: machine.succeeds(["systemctl", "is-active", "sshd.service"]))
        address = rig.lab.network.node(machine.name).address
        other = rig.lab.folder / "stranger"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
        for key, gets_in in ((rig.key, True), (other, False)):
            come = ["ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                    "-o", "UserKnownHostsFile=/dev/null", f"root@{address}", "id", "-un"]
            found = rig.lab.hub.run(come, check=False)
            self.assertEqual(found.out.strip(), "root" if gets_in else "", found)

    def test_it_boots_again_as_who_it_was(self):
        machine = self.machines["raspberrypi"]
        before = machine.read("/etc/machine-id")
        machine.power_cut()
        machine.boot()
        self.assertEqual(machine.read("/etc/machine-id"), before)
        self.assertEqual(machine.state(), "running")
