"""The OpenTofu module with DigitalOcean's own provider: planned, applied, changed and destroyed against a cloud of ours.

`provider` has the servers and says what they are told by.
"""

import hashlib
import shutil

from .fake import TOKEN
from .module import FIVE, INVITE
from .provider import KEYS, WRONG, Real

MACHINE = 'module.e3.digitalocean_droplet.machine["{}"]'


class RealMachines(Real):
    """As it should go."""

    def test_three_regions_get_what_the_example_says_and_in_the_end_nothing_is_left(self):
        bench, cloud = self.bench, self.cloud
        bench.tofu("validate")
        bench.tofu("plan", "-input=false", "-out=first.plan")
        self.assertEqual((bench.invited(), cloud.left()), ([], []), "a plan changes nothing")
        bench.apply("first.plan")
        self.assert_whole(FIVE)
        images = {one["regions"][0]: one for one in cloud.kept()}
        names = {region: one["name"] for region, one in images.items()}
        self.assertEqual(names, {"ams3": "e3-ams3", "nyc3": "e3-nyc3", "sgp1": "e3-sgp1"})
        for name, (_, asked) in bench.machines().items():
            region = name.split("-")[0]
            self.assertEqual((asked["region"], asked["image"], asked["size"]), (region, images[region]["id"], "s-1vcpu-1gb"))
            self.assertEqual((asked["ssh_keys"], asked["tags"], asked.get("monitoring", False)), (KEYS, ["e3-demo"], False))
        self.assertEqual(cloud.tags, {"e3-demo"})
        (firewall,) = cloud.firewalls.values()
        self.assertEqual((firewall["name"], firewall["tags"], firewall["droplet_ids"]), ("e3-demo", ["e3-demo"], []))
        inbound = sorted((one["protocol"], one["ports"], str(one["sources"])) for one in firewall["inbound_rules"])
        ours = str({"tags": ["e3-demo"]})
        self.assertEqual(inbound, [("tcp", "11365-11428", ours), ("tcp", "7332", ours), ("udp", "1-65535", ours)])
        self.assertEqual(sorted(one["protocol"] for one in firewall["outbound_rules"]), ["icmp", "tcp", "udp"])
        hashes = {key: one["user_data"] for key, one in bench.resources("machine").items()}
        self.assertEqual(hashes, {name: hashlib.sha1(text.encode()).hexdigest() for name, text in bench.join_files().items()})
        bench.regions("{ ams3 = 4, nyc3 = 1, sgp1 = 1 }")
        bench.tofu("plan", "-input=false", "-out=second.plan")
        bench.unpack_plans()
        self.assertEqual(bench.files_with_secrets(), [])
        bench.destroy()
        self.assertEqual((cloud.left(), bench.invited(), bench.tokens()), ([], [], []))

    def test_more_and_fewer_machines_leave_the_others_alone(self):
        bench = self.bench
        bench.regions("{ ams3 = 2, nyc3 = 1 }")
        bench.apply()
        before = bench.machines()
        bench.regions("{ ams3 = 3, sgp1 = 1 }")
        bench.apply()
        names = ["ams3-1", "ams3-2", "ams3-3", "sgp1-1"]
        self.assert_whole(names)
        for name in ("ams3-1", "ams3-2"):
            self.assertEqual(bench.machines()[name], before[name])
        self.assertEqual(sorted(one["name"] for one in self.cloud.kept()), ["e3-ams3", "e3-sgp1"])
        # The join files may go.
        shutil.rmtree(bench.example / ".e3-joins")
        self.assertIn("No changes", bench.tofu("plan", "-input=false"))

    def test_a_machine_anew_has_another_token_under_its_name(self):
        bench = self.bench
        bench.regions("{ ams3 = 2 }")
        bench.apply()
        before = bench.machines()
        bench.apply(f"-replace={INVITE.format('ams3-2')}")
        self.assert_whole(["ams3-1", "ams3-2"])
        after = bench.machines()
        self.assertEqual([name for name in after if after[name] != before[name]], ["ams3-2"])

    def test_a_machine_that_was_deleted_by_hand_is_made_again(self):
        bench = self.bench
        bench.regions("{ ams3 = 2 }")
        bench.apply()
        before = bench.machines()
        del self.cloud.droplets[before["ams3-2"][0]]
        bench.apply()
        self.assert_whole(["ams3-1", "ams3-2"])
        self.assertEqual(bench.machines()["ams3-1"], before["ams3-1"])


class RealWrong(Real):
    """What goes wrong."""

    def test_a_wrong_token_is_said_and_invites_nobody(self):
        bench = self.bench
        bench.regions("{ ams3 = 1 }")
        bench.environment["DIGITALOCEAN_TOKEN"] = WRONG
        said = bench.apply(fails=True)
        self.assertIn("401", said)
        self.assertIn("Unable to authenticate you", said)
        self.assertEqual((self.cloud.left(), bench.invited()), ([], []))
        bench.environment["DIGITALOCEAN_TOKEN"] = TOKEN
        bench.apply()
        self.assert_whole(["ams3-1"])

    def test_nobody_is_invited_before_the_image_is_there(self):
        """The import may take the hour for which an invite is good."""
        bench = self.bench
        bench.regions("{ ams3 = 1, nyc3 = 1 }")
        self.cloud.spoilt_import = "Your image is not in a supported format"
        said = bench.apply(fails=True)
        self.assertIn("not in a supported format", said)
        self.assertEqual((bench.machines(), bench.invited()), ({}, []))
        self.cloud.spoilt_import = None
        bench.apply()
        self.assert_whole(["ams3-1", "nyc3-1"])

    def test_no_machine_is_made_before_its_firewall(self):
        bench, cloud = self.bench, self.cloud
        bench.regions("{ ams3 = 1 }")
        cloud.fail("POST", "/v2/firewalls", status=422, message="a rule is wrong")
        self.assertIn("a rule is wrong", bench.apply(fails=True))
        self.assertEqual((bench.machines(), bench.invited()), ({}, []))
        bench.apply()
        self.assert_whole(["ams3-1"])

    def test_a_second_apply_finishes_what_the_cloud_refused(self):
        bench, cloud = self.bench, self.cloud
        bench.regions("{ ams3 = 3 }")
        cloud.fail("POST", "/v2/droplets", status=422, message="creating this/these droplet(s) will exceed your droplet limit")
        self.assertIn("exceed your droplet limit", bench.apply(fails=True))
        before = bench.machines()
        self.assertEqual(len(before), 2)
        # By now the join files are there, and a plan can know them.
        bench.tofu("plan", "-input=false", "-out=again.plan")
        bench.unpack_plans()
        self.assertEqual(bench.files_with_secrets(), [])
        bench.apply("again.plan")
        self.assertEqual({name: bench.machines()[name] for name in before}, before)
        self.assert_whole(["ams3-1", "ams3-2", "ams3-3"])
        self.assertEqual(bench.files_with_secrets(), [])

    def test_what_passes_is_tried_again_by_the_provider(self):
        bench, cloud = self.bench, self.cloud
        bench.regions("{ ams3 = 2 }")
        for method, path, status in [("POST", "/v2/tags", 429), ("POST", "/v2/images", 500), ("POST", "/v2/droplets", 429),
                                     ("GET", r"/v2/droplets/\d+", 500), ("POST", "/v2/firewalls", 500)]:
            cloud.fail(method, path, status=status)
        bench.apply()
        self.assertEqual(cloud.faults, [])
        self.assert_whole(["ams3-1", "ams3-2"])

    def test_a_machine_of_which_nothing_was_heard_is_made_anew(self):
        """It was made, and may have booted and used its token: the one that follows it gets a new one, if the user says so."""
        bench, cloud = self.bench, self.cloud
        bench.regions("{ ams3 = 2 }")
        cloud.fail("GET", r"/v2/droplets/\d+", times=10, status=500)
        self.assertIn("500", bench.apply(fails=True))
        self.assertEqual(bench.files_with_secrets(), [])
        before = bench.machines()
        self.assertEqual(sorted(before), ["ams3-1", "ams3-2"])
        cloud.faults.clear()
        bench.tofu("untaint", MACHINE.format("ams3-1"))
        bench.apply(f"-replace={INVITE.format('ams3-2')}")
        self.assert_whole(["ams3-1", "ams3-2"])
        after = bench.machines()
        self.assertEqual(after["ams3-1"], before["ams3-1"])
        self.assertNotEqual(after["ams3-2"][1]["user_data"], before["ams3-2"][1]["user_data"])

    def test_a_twin_can_be_told_by_the_fleets_tag(self):
        """The cloud makes a machine and says that it failed; the provider asks again, and knows of the second one only. No module
        can help that; images/digitalocean/README.md says what to do."""
        bench, cloud = self.bench, self.cloud
        bench.regions("{ ams3 = 1 }")
        cloud.fail("POST", "/v2/droplets", status=500, after=True)
        bench.apply()
        twin, known = cloud.droplets.values()
        self.assertEqual([one["id"] for one in bench.resources("machine").values()], [str(known["id"])])
        # It is behind the firewall, and of one token the hub takes one machine.
        self.assertEqual((twin["name"], twin["tags"]), ("ams3-1", ["e3-demo"]))
        self.assertEqual(twin["asked"]["user_data"], known["asked"]["user_data"])
        bench.destroy()
        self.assertEqual(cloud.left(), [twin["id"]])

    def test_a_cloud_that_fails_for_longer_is_waited_for_by_another_apply(self):
        bench, cloud = self.bench, self.cloud
        bench.regions("{ ams3 = 1 }")
        for path in ("/v2/firewalls", "/v2/droplets"):
            cloud.fail("POST", path, times=5, status=500)
            self.assertIn("500", bench.apply(fails=True))
        bench.apply()
        self.assert_whole(["ams3-1"])
        cloud.fail("DELETE", r"/v2/tags/.*", times=5, status=500)
        self.assertIn("500", bench.destroy(fails=True))
        bench.destroy()
        self.assertEqual((cloud.left(), bench.invited()), ([], []))
