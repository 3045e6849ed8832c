"""polkit on NixOS: the agent's user manages its own units and nothing else, tried by the very tests of `sandbox.rights`."""

from ..sandbox import rights
from . import rig


class NixosRights(rights.Rights):
    """Those that need nothing of Debian's layout, on the droplet."""

    # Their files are elsewhere on NixOS.
    test_what_systemd_says_of_the_units = None
    test_old_settings_of_sessions_are_removed_and_those_of_others_are_not = None

    # All units are one folder of the store, and /etc has a link to it.
    template_away = """
        mkdir /root/units
        cp -dR /etc/systemd/system/. /root/units
        rm /root/units/e3-party@.service
        mv /etc/systemd/system /root/linked
        mv /root/units /etc/systemd/system
    """
    template_back = "rm -r /etc/systemd/system; mv /root/linked /etc/systemd/system"

    @classmethod
    def setUpClass(cls):
        cls.lab = rig.current.lab
        cls.machine = rig.current["digitalocean"]


def load_tests(loader, _tests, _pattern):
    """Not the class that is imported."""
    return loader.loadTestsFromTestCase(NixosRights)
