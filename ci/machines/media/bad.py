"""Broken files, files that disagree: said on the console, and the machine boots."""

import os

from .case import Card, MediaCase

OWNERS = "/etc/e3/e3.toml"


class Bad(MediaCase):
    """One machine, a Raspberry Pi."""

    def setUp(self):
        super().setUp()
        self.image("p0", "raspberrypi")
        self.p0 = self.lab["p0"]

    def test_a_broken_file_is_told_on_the_console_and_a_corrected_one_joins(self):
        self.may_remount("p0")
        card = Card(self.lab.folder)
        good = self.invite("p0")
        card.write("\x1b[2J" + good)
        card.insert(self.p0)
        self.lab.boot()
        self.assert_runs("p0")
        self.says("p0", "/boot/firmware/e3.toml is broken: line 1, column", "Correct the file")
        self.assertNotIn("\x1b", self.issue("p0"))
        status = self.p0.run(["e3-agent", "status"]).out
        self.assertIn("/boot/firmware/e3.toml is broken: line 1", status)
        self.p0.power_cut()
        card.write(good)
        self.lab.boot()
        self.enrolled("p0")
        self.assertEqual(self.issue("p0"), "")

    def test_two_files_that_disagree_are_both_named_and_so_is_a_medium_that_cannot_be_burnt(self):
        card = Card(self.lab.folder)
        card.write(self.invite("p0"))
        card.insert(self.p0)
        self.put("p0", OWNERS, self.invite("other"), mode=0o600)
        self.lab.boot()
        self.says("p0", f"{OWNERS} disagrees with /boot/firmware/e3.toml, which counts", "Remove",
                  "the secrets in /boot/firmware/e3.toml cannot be burnt: its medium is read-only")
        self.enrolled("p0")
        self.assert_runs("p0")

    def test_no_card_a_pipe_and_a_link_do_not_keep_it_from_booting_and_what_comes_later_joins(self):
        # Off, its disk is a folder of the host.
        folder = self.p0.layer.upper / "etc/e3"
        folder.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / "e3.toml")
        self.lab.boot()
        self.assert_runs("p0")
        self.says("p0", "nothing is mounted at /boot/firmware", f"{OWNERS} is a pipe")
        self.p0.run(["sh", "-c", f"rm {OWNERS} && ln -s /root/e3.toml {OWNERS}"])
        self.p0.write("/root/e3.toml", self.invite("p0"), mode="0600")
        self.p0.run(["systemctl", "start", "e3-import.service"])
        self.says("p0", f"{OWNERS} is a symbolic link")
        # As an editor saves it; systemd hears of it.
        self.p0.run(["mv", "/root/e3.toml", OWNERS])
        self.enrolled("p0")
        self.assertNotIn("e3-join-", self.p0.read(OWNERS))
