"""What must work, and what goes wrong. One rig for all of them."""

import base64
import hashlib
import os
import signal
import socket
import threading
import unittest

from .fake import TOKEN
from .program import free_port, wait_until
from .rig import BUCKET, KEY, MIB, SECRET, Rig, kept_parts, part_numbers

IMAGES, ONE = "/v2/images", r"/v2/images/\d+"
ACTIONS = r"/v2/images/\d+/actions"


class Case(unittest.TestCase):
    """The rig, empty again before each test."""

    @classmethod
    def setUpClass(cls):
        if not hasattr(Case, "rig"):
            Case.rig = Rig()
            unittest.addModuleCleanup(Case.rig.close)

    def setUp(self):
        self.rig.reset()

    def works(self, *arguments, **more):
        status, answer = self.rig.run(*arguments, **more)
        self.assertEqual(status, 0, answer)
        return answer

    def fails(self, kind, *arguments, exit_status=None, **more):
        status, answer = self.rig.run(*arguments, **more)
        self.assertNotEqual(status, 0, answer)
        self.assertEqual(answer["error"]["kind"], kind, answer)
        self.assertTrue(answer["error"]["remedy"], answer)
        if exit_status is not None:
            self.assertEqual(status, exit_status, answer)
        return answer["error"]

    def nothing_is_left(self):
        self.assertEqual((self.rig.objects(), self.rig.uploads()), ([], []))
        self.assertEqual(list((self.rig.folder / "cache").rglob("*.json")), [])


class Upload(Case):
    """As it should go."""

    def test_an_image_gets_to_its_regions_and_leaves_nothing_behind(self):
        answer = self.works("--region", "ams3,fra1", "--region", "nyc3", "--name", "my machines")
        self.assertEqual((answer["regions"], answer["sent"], answer["was_there"]), (["ams3", "fra1", "nyc3"], 44 * MIB, False))
        image = self.rig.fake.images[answer["id"]]
        # The fake has fetched it by the signed address and compared its hash.
        self.assertEqual((image["status"], image["name"]), ("available", "my machines"))
        self.assertEqual(answer["sha256"], hashlib.sha256(self.rig.image.read_bytes()).hexdigest())
        self.assertEqual(part_numbers(self.rig.relay.parts), [1, 2, 3, 4, 5, 6])
        self.assertEqual((answer["warnings"], answer["missing"]), ([], []))
        self.nothing_is_left()

    def test_a_region_that_is_named_twice_is_one(self):
        answer = self.works("--region", "ams3,fra1,ams3", "--region", "fra1")
        self.assertEqual(answer["regions"], ["ams3", "fra1"])
        self.assertEqual(self.rig.fake.count("POST", ACTIONS), 1)

    def test_an_image_that_is_there_is_not_sent_again_from_any_computer(self):
        first = self.works()
        self.rig.relay.reset()
        os.rename(self.rig.folder / "cache", self.rig.folder / "other-computer")
        again = self.works("--region", "ams3,lon1")
        self.assertEqual((again["id"], again["sent"], again["was_there"]), (first["id"], 0, True))
        self.assertEqual((again["regions"], self.rig.relay.parts), (["ams3", "lon1"], []))
        self.assertEqual(self.rig.fake.count("POST", IMAGES), 1)

    def test_a_dry_run_changes_nothing(self):
        answer = self.works("--dry-run", "--region", "ams3,fra1")
        self.assertEqual((answer["id"], answer["sent"], answer["missing"]), (None, 44 * MIB, ["ams3", "fra1"]))
        self.assertEqual({one[0] for one in self.rig.fake.requests}, {"GET"})
        self.assertEqual(self.rig.relay.parts, [])
        self.nothing_is_left()

    def test_secrets_come_from_a_private_file_or_from_standard_input(self):
        text = f"# mine\nDIGITALOCEAN_TOKEN={TOKEN}\nSPACES_ACCESS_KEY_ID='{KEY}'\nexport SPACES_SECRET_ACCESS_KEY={SECRET}\n"
        none = {"DIGITALOCEAN_TOKEN": None, "SPACES_ACCESS_KEY_ID": None, "SPACES_SECRET_ACCESS_KEY": None}
        self.works("--dry-run", "--credentials", "-", stdin=text, **none)
        path = self.rig.folder / "credentials"
        self.addCleanup(path.unlink)
        path.write_text(text)
        path.chmod(0o644)
        status, answer = self.rig.run("--dry-run", "--credentials", str(path), **none)
        self.assertEqual(status, 2, answer)
        self.assertIn("chmod 600", answer["error"]["message"])
        path.chmod(0o600)
        self.works("--dry-run", "--credentials", str(path), **none)
        self.fails("no-credentials", "--dry-run", **none)
        self.fails("credentials", "--dry-run", "--credentials", "-", stdin="TOKEN=x\n", **none)

    def test_the_token_is_in_no_argument_and_no_file(self):
        self.rig.relay.hold_after = 1
        process = self.rig.start()
        self.rig.relay.wait_for_parts(1)
        with open(f"/proc/{process.pid}/cmdline", "rb") as file:
            line = file.read()
        self.rig.relay.release()
        self.rig.finish(process)
        self.assertNotIn(TOKEN.encode(), line)
        # The record, and what others have written down.
        for path in self.rig.folder.rglob("*"):
            if path.is_file() and path != self.rig.image:
                content = path.read_bytes()
                for secret in (TOKEN, SECRET):
                    self.assertNotIn(secret.encode(), content, path)
                    self.assertNotIn(base64.b64encode(secret.encode()), content, path)


class Interrupted(Case):
    """The same command goes on."""

    def cut(self, how):
        self.rig.relay.hold_after = 2
        process = self.rig.start()
        self.rig.relay.wait_for_parts(2)
        wait_until("two parts stand in the record", lambda: kept_parts(self.rig) == 2)
        process.send_signal(how)
        if how == signal.SIGKILL:
            process.communicate()
            answer = None
        else:
            answer = self.rig.finish(process)
        self.rig.relay.release(lose=True)
        self.rig.relay.reset()
        return answer

    def test_a_killed_upload_sends_only_what_is_missing(self):
        self.cut(signal.SIGKILL)
        self.assertEqual(len(self.rig.uploads()), 1)
        plan = self.works("--dry-run")
        answer = self.works()
        self.assertEqual(len(self.rig.relay.parts), 4, "two parts of six were there")
        self.assertEqual(answer["sent"], plan["sent"])
        self.assertLess(answer["sent"], 44 * MIB)
        self.nothing_is_left()

    def test_ctrl_c_says_what_is_there_and_discard_removes_it(self):
        status, answer = self.cut(signal.SIGINT)
        self.assertEqual((status, answer["error"]["kind"]), (130, "interrupted"))
        for word in ("--discard", "same command", "of 46.1 MB"):
            self.assertIn(word, answer["error"]["message"])
        self.assertEqual(len(self.rig.uploads()), 1)
        self.works("--discard")
        self.nothing_is_left()

    def test_an_upload_that_the_store_has_forgotten_begins_anew(self):
        self.cut(signal.SIGKILL)
        [(_, upload)] = self.rig.uploads()
        self.rig.empty_space()
        # As S3 answers; moto has an internal error.
        gone = b"<Error><Code>NoSuchUpload</Code><Message>The specified upload does not exist.</Message></Error>"
        self.rig.relay.fail("PUT", f"uploadId={upload}", times=8, status=404, body=gone)
        answer = self.works()
        self.assertEqual(part_numbers(self.rig.relay.parts), [1, 2, 3, 4, 5, 6])
        self.assertEqual(self.rig.fake.images[answer["id"]]["status"], "available")
        self.nothing_is_left()

    def test_a_lost_record_is_no_reason_to_send_what_is_there(self):
        self.rig.fake.fail("POST", IMAGES, status=401)
        self.fails("token-refused")
        self.assertEqual(len(self.rig.objects()), 1)
        for path in (self.rig.folder / "cache").rglob("*.json"):
            path.unlink()
        self.rig.relay.reset()
        answer = self.works()
        self.assertEqual((answer["sent"], self.rig.relay.parts), (0, []))
        self.nothing_is_left()

    def test_ctrl_c_while_the_cloud_fetches_goes_on_waiting_later(self):
        self.rig.fake.released.clear()
        process = self.rig.start()
        wait_until("the cloud was asked twice", lambda: self.rig.fake.count("GET", ONE) >= 2)
        process.send_signal(signal.SIGINT)
        status, answer = self.rig.finish(process)
        self.assertEqual(status, 130)
        self.assertIn("is fetching it", answer["error"]["message"])
        # The copy is what it fetches.
        self.assertEqual(len(self.rig.objects()), 1)
        self.rig.fake.released.set()
        answer = self.works()
        self.assertEqual((answer["sent"], self.rig.fake.count("POST", IMAGES)), (0, 1))
        self.nothing_is_left()

    def test_two_commands_at_once_do_not_disturb_each_other(self):
        self.rig.relay.hold_after = 1
        process = self.rig.start()
        self.rig.relay.wait_for_parts(1)
        self.fails("busy")
        self.rig.relay.release()
        status, answer = self.rig.finish(process)
        self.assertEqual(status, 0, answer)

    def test_an_image_that_is_written_to_meanwhile_is_not_imported(self):
        image = self.rig.make_image("changing.qcow2", 20 * MIB)
        self.rig.relay.hold_after = 1
        process = self.rig.start(image=image)
        self.rig.relay.wait_for_parts(1)
        with image.open("r+b") as file:
            file.write(b"QFI\xfbother")
        self.rig.relay.release()
        status, answer = self.rig.finish(process)
        self.assertEqual((status, answer["error"]["kind"]), (2, "image-changed"))
        self.assertEqual(self.rig.fake.count("POST", IMAGES), 0)
        self.nothing_is_left()


class Cloud(Case):
    """The API's troubles."""

    def test_what_the_description_does_not_allow_does_not_get_through(self):
        """Prism is really in between, and really looks."""
        good = {"name": "a", "url": "http://a", "region": "ams3", "distribution": "Unknown", "tags": ["a"]}
        self.assertEqual(self.rig.ask("POST", IMAGES, good), 202)
        for spoilt in ({"region": "moon1"}, {"name": None}, {"tags": "a"}, {"distribution": "NixOS"}):
            self.assertEqual(self.rig.ask("POST", IMAGES, good | spoilt), 422, spoilt)
        self.assertEqual(self.rig.ask("GET", "/v2/imagez"), 404)
        self.assertEqual(self.rig.fake.count("POST", IMAGES), 1)
        # And its answers: a status that is none.
        self.rig.fake.images[1000]["status"] = "fine"
        self.assertEqual(self.rig.ask("GET", "/v2/images/1000"), 500)

    def test_a_region_that_is_none_is_refused_and_leaves_nothing(self):
        error = self.fails("cloud-refused", "--region", "moon1", exit_status=4)
        self.assertIn("422", error["message"])
        self.nothing_is_left()

    def test_a_wrong_token_is_noticed_before_anything_is_sent(self):
        error = self.fails("token-refused", exit_status=4, DIGITALOCEAN_TOKEN="dop_v1_wrong")
        self.assertIn("Unable to authenticate", error["message"])
        self.assertEqual(self.rig.relay.parts, [])

    def test_each_refusal_has_its_name_and_says_what_is_in_the_space(self):
        for status, kind, kept in [
            (401, "token-refused", True), (403, "token-scope", True), (404, "not-found", False), (422, "cloud-refused", False),
        ]:
            with self.subTest(status):
                self.rig.reset()
                self.rig.fake.fail("POST", IMAGES, status=status, message="because \x1b[2J of this")
                error = self.fails(kind, exit_status=4)
                self.assertIn(f"HTTP {status}: because \ufffd[2J of this", error["message"])
                self.assertEqual(len(self.rig.objects()), int(kept))
                self.assertEqual("--discard" in error["remedy"], kept, error)
                if not kept:
                    self.nothing_is_left()

    def test_too_many_requests_are_waited_for_as_long_as_asked(self):
        self.rig.fake.fail("GET", IMAGES, status=429, headers=[("retry-after", "1")])
        self.rig.fake.fail("POST", IMAGES, status=429, headers=[("retry-after", "1")])
        self.works()
        self.rig.reset()
        self.rig.fake.fail("GET", IMAGES, status=429, headers=[("retry-after", "7200")])
        error = self.fails("rate-limited", exit_status=4)
        self.assertIn("2 h 0 min", error["remedy"])

    def test_what_passes_is_tried_again_and_what_stays_is_named(self):
        self.rig.fake.fail("GET", IMAGES, times=2, status=500)
        self.rig.fake.fail("GET", ONE, status=503)
        self.rig.fake.fail("POST", IMAGES, times=2, status=500)
        self.works()
        self.assertEqual(len(self.rig.fake.images), 1)
        self.rig.reset()
        self.rig.fake.fail("GET", IMAGES, times=9, status=500, message="on fire")
        error = self.fails("cloud-failed", exit_status=3)
        self.assertIn("on fire", error["message"])
        self.assertEqual(len(self.rig.fake.faults), 5, "four attempts")

    def test_an_import_whose_answer_was_lost_is_not_made_twice(self):
        self.rig.fake.fail("POST", IMAGES, status=500, after=True)
        answer = self.works()
        self.assertEqual(list(self.rig.fake.images), [answer["id"]])
        self.assertEqual(self.rig.fake.count("POST", IMAGES), 1)

    def test_an_api_that_hangs_is_given_up(self):
        self.rig.fake.fail("GET", IMAGES, times=9, hang=20)
        error = self.fails("unreachable", "--timeout", "1", exit_status=3)
        self.assertIn("does not answer in time", error["message"])

    def test_nobody_nowhere_and_somebody_else(self):
        for api, kind, word in [
            (f"http://127.0.0.1:{free_port()}", "unreachable", "no connection"),
            ("https://api.digitalocean.invalid", "unreachable", "leads to no address"),
            (f"http://127.0.0.1:{self.rig.moto.port}/moto-api", "not-the-api", "not what DigitalOcean's API answers"),
            ("http://api.digitalocean.com", "api-address", "an address that a token may be sent to"),
        ]:
            with self.subTest(api):
                error = self.fails(kind, "--dry-run", api=api)
                self.assertIn(word, error["message"])

    def test_an_image_that_cannot_be_imported_leaves_nothing(self):
        self.rig.fake.spoilt_import = "the image has no \x1b[2Jkernel"
        error = self.fails("import-failed", exit_status=1)
        self.assertIn("the image has no \ufffd[2Jkernel", error["message"])
        self.nothing_is_left()

    def test_a_transfer_that_fails_is_named_by_its_region(self):
        self.rig.fake.fail("POST", ACTIONS, status=422, message="no room")
        error = self.fails("cloud-refused", "--region", "ams3,fra1")
        self.assertIn("no room", error["message"])
        self.nothing_is_left()
        self.assertEqual(self.works("--region", "ams3,fra1")["regions"], ["ams3", "fra1"])


class Space(Case):
    """The storage's troubles."""

    def test_a_space_that_is_not_there_or_not_ours_is_named_before_anything_is_sent(self):
        space = f"http://127.0.0.1:{self.rig.relay.port}/nobodys"
        self.assertIn("nobodys", self.fails("no-such-space", space=space)["message"])
        self.rig.relay.fail("GET", "list-type=2")
        error = self.fails("space-refused", exit_status=4)
        self.assertIn("HTTP 403: AccessDenied, Access Denied", error["message"])
        self.fails("space-address", space="my-space", exit_status=2)
        self.fails("unreachable", space="http://space.invalid/images", exit_status=3)

    def test_parts_that_fail_are_sent_again(self):
        slow = b"<Error><Code>SlowDown</Code><Message>slower</Message></Error>"
        self.rig.relay.fail("PUT", "partNumber=", times=4, status=503, body=slow)
        self.works()
        self.nothing_is_left()

    def test_a_storage_that_breaks_down_is_named_and_what_is_there_is_kept(self):
        broken = b"<Error><Code>InternalError</Code><Message>broken</Message></Error>"
        self.rig.relay.fail("PUT", "partNumber=6", times=9, status=500, body=broken)
        error = self.fails("space-failed")
        self.assertIn("InternalError, broken", error["message"])
        self.assertIn("same command goes on", error["remedy"])
        had = len(self.rig.relay.parts)
        self.rig.relay.reset()
        self.works()
        self.assertEqual(had + len(self.rig.relay.parts), 6)

    def test_a_copy_that_cannot_be_removed_is_told_and_removed_later(self):
        self.rig.relay.fail("DELETE", ".")
        answer = self.works()
        self.assertEqual(len(self.rig.objects()), 1)
        self.assertIn("refuses to remove the copy", answer["warnings"][0])
        self.assertIn(self.rig.objects()[0], answer["warnings"][0])
        self.works("--discard")
        self.nothing_is_left()

    def test_a_failure_that_cannot_clean_up_says_so(self):
        self.rig.relay.fail("DELETE", ".")
        self.rig.fake.fail("POST", IMAGES, status=422)
        error = self.fails("cloud-refused")
        self.assertIn("could not be removed", error["remedy"])
        self.assertIn(self.rig.objects()[0], error["remedy"])

    def test_a_storage_that_is_silent_is_given_up(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(64)
            held = []

            def accept():
                try:
                    while True:
                        held.append(silent.accept())
                except OSError:
                    pass

            threading.Thread(target=accept, daemon=True).start()
            # Twenty times the second, five times: what has to be seen is that Ctrl-C ends the waiting.
            process = self.rig.start("--timeout", "1", space=f"http://127.0.0.1:{silent.getsockname()[1]}/{BUCKET}")
            wait_until("somebody has connected", lambda: held)
            process.send_signal(signal.SIGINT)
            status, answer = self.rig.finish(process, seconds=10)
            self.assertEqual((status, answer["error"]["kind"]), (130, "interrupted"))
            silent.shutdown(socket.SHUT_RDWR)


class Images(Case):
    """What is no image for a droplet."""

    def test_what_no_droplet_starts_from_is_refused_before_anybody_is_asked(self):
        for name, content, word in [
            ("text.img", b"hello", "neither a disk nor"),
            ("empty.img", b"", "neither a disk nor"),
            ("a-aarch64.qcow2", b"QFI\xfb" + bytes(40_000), "aarch64"),
            ("cd.iso", bytes(0x8001) + b"CD001" + bytes(3000), "it is a CD"),
        ]:
            with self.subTest(name):
                path = self.rig.folder / name
                path.write_bytes(content)
                self.assertIn(word, self.fails("not-an-image", image=path, exit_status=2)["message"])
        self.assertEqual(self.rig.fake.requests, [])

    def test_a_hostile_name_is_only_a_name(self):
        image = self.rig.make_image("..%2f?x=1#\x1b[2J é'\"\n.qcow2", 2 * MIB)
        answer = self.works(image=image, *[])
        self.assertEqual(self.rig.fake.images[answer["id"]]["name"], answer["name"])
        self.assertNotRegex(answer["name"], r"[\x00-\x1f?#]")
        self.nothing_is_left()
