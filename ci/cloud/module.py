"""The OpenTofu module, planned, applied, changed and destroyed by OpenTofu itself, with the real `e3`, a real hub, and a stand-in
for DigitalOcean; `real` has its provider."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

from . import standin
from .program import Program, free_port, wait_until

FIVE = ["ams3-1", "ams3-2", "ams3-3", "nyc3-1", "sgp1-1"]
INVITE = 'module.e3.terraform_data.invite["{}"]'


class Bench:
    """A copy of the module with a fleet and its hub, in a folder of its own."""

    def __init__(self, write=standin.write, **variables):
        self.folder = Path(tempfile.mkdtemp(prefix="e3-tofu-"))
        self.example = self.folder / "module/example"
        write(self.folder / "module")
        self.environment = {
            "PATH": f"{Path(os.environ['E3_CLI']).parent}:{os.environ['PATH']}", "HOME": str(self.folder), "NO_COLOR": "1",
            "E3_KEY": str(self.folder / "key.pem"), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1",
            "TF_VAR_image_url": "https://images.example/e3.qcow2.bz2", "TF_VAR_ssh_keys": '["3b:16:e4:bf:8b:00:8b:b8:59:8c:a9:d3:f0:19:fa:45"]',
            **variables,
        }
        self.hub = None
        self.port = free_port()
        self.e3("key", "new", self.environment["E3_KEY"])
        self.e3("fleet", "new", "demo", "--hub", f"http://127.0.0.1:{self.port}", "--mesh", "none")
        self.environment["E3_FLEET"] = str(self.example / "demo")
        self.start_hub()
        self.tofu("init", "-input=false")

    def start_hub(self):
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        self.hub = Program(["env", *variables, os.environ["E3_CLI"], "hub", "serve"], self.port, self.folder)

    def close(self):
        self.hub.close()
        shutil.rmtree(self.folder)

    def run(self, *command):
        return subprocess.run(command, cwd=self.example, env=self.environment, capture_output=True, text=True, timeout=300, check=False)

    def e3(self, *arguments):
        done = self.run(os.environ["E3_CLI"], "--json", *arguments)
        if done.returncode:
            raise AssertionError(f"e3 {arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def tofu(self, *arguments, fails=False):
        done = self.run(os.environ["E3_TOFU"], *arguments)
        said = done.stdout + done.stderr
        for secret in self.secrets():
            assert secret not in said, f"tofu {arguments} shows a token"
        if (done.returncode != 0) != fails:
            raise AssertionError(f"tofu {arguments} ends with {done.returncode}: {said}")
        return said

    def apply(self, *arguments, **more):
        return self.tofu("apply", "-input=false", "-auto-approve", *arguments, **more)

    def destroy(self, **more):
        return self.tofu("destroy", "-input=false", "-auto-approve", **more)

    def regions(self, text):
        """Writes other numbers of machines into the example, as its user would."""
        path = self.example / "main.tf"
        path.write_text(re.sub(r"regions   = .*", f"regions   = {text}", path.read_text()))

    def join_file(self, name):
        return self.example / ".e3-joins" / f"{name}.toml"

    def tokens(self):
        files = sorted((self.example / ".e3-joins").glob("*.toml"))
        return [tomllib.loads(path.read_text())["token"] for path in files]

    def secrets(self):
        """What no screen and no file of OpenTofu may have."""
        return self.tokens()

    def resources(self, name):
        """What the state says of all resources of that name, by key."""
        state = json.loads((self.example / "terraform.tfstate").read_text())
        found = [one for one in state["resources"] if one["name"] == name]
        instances = [one for resource in found for one in resource["instances"]]
        return {one.get("index_key"): one["attributes"] for one in instances}

    def droplets(self):
        return {key: one["output"]["value"] | {"id": one["id"]} for key, one in self.resources("droplet_machine").items()}

    def invited(self):
        """Who may still enrol, as the hub's owner sees it."""
        return sorted(one["name"] for one in self.e3("fleet", "status")["invites"])


class Case(unittest.TestCase):
    """A fleet of its own for each test."""

    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.close)


class Machines(Case):
    """As it should go."""

    def test_five_machines_in_three_regions_each_with_its_own_join_file(self):
        bench = self.bench
        bench.tofu("validate")
        self.assertIn("to add", bench.tofu("plan", "-input=false"))
        self.assertEqual(bench.invited(), [], "a plan changes nothing")
        bench.apply()
        droplets = bench.droplets()
        self.assertEqual(sorted(droplets), FIVE)
        images = {key: one["id"] for key, one in bench.resources("custom_image_e3").items()}
        self.assertEqual(sorted(images), ["ams3", "nyc3", "sgp1"])
        tag = bench.resources("tag_fleet")[None]
        self.assertEqual(tag["output"]["value"]["name"], "e3-demo")
        for name, droplet in droplets.items():
            region = name.split("-")[0]
            self.assertEqual((droplet["name"], droplet["region"], droplet["image"]), (name, region, images[region]))
            self.assertEqual(droplet["tags"], [tag["id"]])
            join = bench.join_file(name)
            self.assertEqual(join.stat().st_mode & 0o777, 0o600)
            self.assertEqual(tomllib.loads(join.read_text())["name"], name)
            self.assertEqual(droplet["user_data"], hashlib.sha1(join.read_bytes()).hexdigest())
        self.assertEqual(len(set(bench.tokens())), 5)
        self.assertEqual(bench.invited(), FIVE)
        self.assertIn("fleet accept ams3-1 ams3-2 ams3-3 nyc3-1 sgp1-1", bench.tofu("output", "accept"))

    def test_no_file_of_opentofu_has_a_secret(self):
        bench = self.bench
        bench.tofu("plan", "-input=false", "-out=first.plan")
        bench.apply("first.plan")
        bench.regions("{ ams3 = 3, nyc3 = 2, sgp1 = 1 }")
        bench.tofu("plan", "-input=false", "-out=second.plan")
        # A plan is a ZIP archive.
        for plan in bench.example.glob("*.plan"):
            shutil.unpack_archive(plan, bench.example / f"{plan.name}.unpacked", "zip")
        bench.apply("second.plan")
        secrets = [token.encode() for token in bench.tokens()]
        self.assertEqual(len(secrets), 6)
        looked = 0
        for path in bench.example.rglob("*"):
            if path.is_file() and path.parent.name != ".e3-joins":
                looked += 1
                content = path.read_bytes()
                self.assertFalse(any(one in content for one in secrets), path)
        self.assertGreater(looked, 10)

    def test_a_second_time_nothing_is_to_do_even_without_the_join_files(self):
        bench = self.bench
        bench.apply()
        self.assertIn("No changes", bench.tofu("plan", "-input=false"))
        shutil.rmtree(bench.example / ".e3-joins")
        self.assertIn("No changes", bench.tofu("plan", "-input=false"))

    def test_more_machines_leave_the_others_alone(self):
        bench = self.bench
        bench.apply()
        before = bench.droplets()
        bench.regions("{ ams3 = 4, nyc3 = 1, sgp1 = 1 }")
        bench.apply()
        after = bench.droplets()
        self.assertEqual(sorted(after), sorted([*FIVE, "ams3-4"]))
        self.assertEqual({name: after[name] for name in before}, before)

    def test_fewer_machines_take_the_last_ones_with_their_invites(self):
        bench = self.bench
        bench.apply()
        before = bench.droplets()
        bench.regions("{ ams3 = 1, nyc3 = 1 }")
        bench.apply()
        left = ["ams3-1", "nyc3-1"]
        self.assertEqual(bench.droplets(), {name: before[name] for name in left})
        self.assertEqual(bench.invited(), left)
        self.assertEqual(sorted(path.stem for path in bench.join_file("x").parent.iterdir()), left)
        self.assertEqual(sorted(bench.resources("custom_image_e3")), ["ams3", "nyc3"])

    def test_a_machine_anew_has_another_token_under_its_name(self):
        bench = self.bench
        bench.apply()
        before, token = bench.droplets(), bench.join_file("ams3-2").read_text()
        bench.apply(f"-replace={INVITE.format('ams3-2')}")
        after = bench.droplets()
        self.assertEqual([name for name in FIVE if after[name] != before[name]], ["ams3-2"])
        self.assertNotEqual(bench.join_file("ams3-2").read_text(), token)
        self.assertEqual(after["ams3-2"]["user_data"], hashlib.sha1(bench.join_file("ams3-2").read_bytes()).hexdigest())
        self.assertEqual(bench.invited(), FIVE)

    def test_in_the_end_nothing_is_left(self):
        bench = self.bench
        bench.apply()
        bench.join_file("ams3-1").unlink()
        bench.destroy()
        self.assertEqual((bench.droplets(), bench.invited(), bench.tokens()), ({}, [], []))


class Wrong(Case):
    """What goes wrong."""

    def test_an_expired_invite_is_taken_back_and_made_anew(self):
        bench = self.bench
        path = bench.example / "main.tf"
        path.write_text(path.read_text().replace("  fleet     =", '  invite_expires = "1s"\n  fleet     ='))
        bench.regions("{ ams3 = 1 }")
        bench.apply()
        until = tomllib.loads(bench.join_file("ams3-1").read_text())["token"]
        bench.apply(f"-replace={INVITE.format('ams3-1')}")
        self.assertNotEqual(tomllib.loads(bench.join_file("ams3-1").read_text())["token"], until)
        bench.destroy()
        self.assertEqual(bench.invited(), [])

    def test_without_the_hub_no_machine_is_destroyed_unknown_to_the_fleet(self):
        bench = self.bench
        bench.regions("{ ams3 = 2 }")
        bench.apply()
        bench.hub.close()
        said = bench.destroy(fails=True)
        self.assertIn("local-exec provisioner error", said)
        self.assertEqual(sorted(bench.resources("invite")), ["ams3-1", "ams3-2"])
        bench.start_hub()
        bench.destroy()
        self.assertEqual(bench.invited(), [])

    def test_what_cannot_be_meant_is_refused_before_anything_is_made(self):
        bench = self.bench
        text = (bench.example / "main.tf").read_text()
        for old, new, says in [
            ("image_url = var.image_url", "", "Give either image_url or images."),
            ("ssh_keys  = var.ssh_keys", "ssh_keys = []", "without an ssh key"),
            ("sgp1 = 1 }", '"sgp" = 1 }', "A region is written like ams3"),
            ("image_url = var.image_url", "images = { ams3 = 7 }", "Each region needs an image"),
            ('"${path.root}/demo"', '"${path.root}"', "There is no fleet.toml in this folder"),
        ]:
            with self.subTest(says):
                self.assertIn(old, text)
                (bench.example / "main.tf").write_text(text.replace(old, new))
                self.assertIn(says, re.sub(r"[\s│]+", " ", bench.tofu("plan", "-input=false", fails=True)))
        self.assertEqual(bench.invited(), [])


class Enrolled(Case):
    """A machine that has taken its place. That whoever is revoked leaves the meshes, too, is tested where there are some (ci/lab)."""

    def test_a_machine_that_is_destroyed_leaves_the_fleet(self):
        bench = self.bench
        bench.regions("{ ams3 = 1 }")
        bench.apply()
        folder = bench.folder / "machine"
        folder.mkdir(mode=0o700)
        paths = {"state": folder / "state", "run": folder / "run", "policy": folder / "policy.toml", "python": sys.executable}
        config = [f"{key} = {json.dumps(str(path))}" for key, path in paths.items()]
        config += [f"join = [{json.dumps(str(bench.join_file('ams3-1')))}]", 'listen = "127.0.0.1:0"', 'advertise = ["127.0.0.1"]',
                   "poll_seconds = 2"]
        (folder / "agent.toml").write_text("\n".join(config) + "\n")
        with (folder / "log").open("wb") as log:
            agent = subprocess.Popen([os.environ["E3_AGENT"], "run", "--while-stdin", "--config", str(folder / "agent.toml")],
                                     stdin=subprocess.PIPE, stdout=log, stderr=log, env=bench.environment)
        try:
            wait_until("the machine enrols", lambda: bench.e3("fleet", "pending")["pending"], 60)
        except AssertionError:
            raise AssertionError((folder / "log").read_text()) from None
        finally:
            agent.stdin.close()
            agent.wait(30)
        bench.e3("fleet", "accept", "--yes", "ams3-1")
        toml = bench.example / "demo/fleet.toml"
        self.assertIn("ams3-1", toml.read_text())
        # Its token is spent, and its file may be gone: what is done in the end is to the party.
        bench.join_file("ams3-1").unlink()
        bench.destroy()
        self.assertNotIn("ams3-1", toml.read_text())
        self.assertEqual(bench.e3("fleet", "status")["parties"], [])
