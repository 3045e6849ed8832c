"""What `real` tests with: DigitalOcean's own provider, and a cloud of ours to which it speaks.

The provider's program is named as E3_DO_PROVIDER, and nothing here fetches it. Between it and the cloud stands Prism, if
E3_DO_DESCRIPTION names DigitalOcean's description of its API (specification/DigitalOcean-public.v2.yaml in a checkout of
digitalocean/openapi): each request of the provider, and each answer of ours, is held against it.

    tofu ── provider ── API ──▶ Prism ──▶ machines ──▶ the image, by its address
"""

import base64
import os
import platform
import re
import shutil
import tempfile
import tomllib
import unittest
from pathlib import Path

from .fake import TOKEN
from .machines import Cloud
from .module import Bench
from .program import Program, free_port
from .standin import MODULE
from .web import Handler, serve

KEYS = ["3b:16:e4:bf:8b:00:8b:b8:59:8c:a9:d3:f0:19:fa:45"]
WRONG = "dop_v1_" + "bad0" * 16
# The program says nothing of its version; what counts is that the module's range has it.
VERSION = "2.99.1"
BASE64 = re.compile(rb"[A-Za-z0-9+/]{32,}={0,2}")


class Image(Handler):
    """Offers the image."""

    def do_GET(self):
        self.answer(200, b"QFI\xfb" + b"\0" * 1000)


def write(folder):
    """The module and its example, as they are."""
    shutil.copytree(MODULE, folder)


def mirror(folder):
    """The provider where OpenTofu and Terraform look for it; returns the settings that say so."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    for host in ("registry.opentofu.org", "registry.terraform.io"):
        place = folder / f"mirror/{host}/digitalocean/digitalocean/{VERSION}/{platform.system().lower()}_{machine}"
        place.mkdir(parents=True)
        (place / f"terraform-provider-digitalocean_v{VERSION}").symlink_to(Path(os.environ["E3_DO_PROVIDER"]).resolve())
    settings = folder / "tofu.rc"
    settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder}/mirror"\n  }}\n}}\n')
    return settings


def description(folder):
    """DigitalOcean's description, with one correction: it wants `ports` in a rule for ICMP, which has none. The API does without,
    as the provider's own documentation has it."""
    path = Path(os.environ["E3_DO_DESCRIPTION"])
    shutil.copytree(path.parent, folder / "specification")
    rule = folder / "specification/resources/firewalls/models/firewall_rule.yml"
    wanted = "  required:\n    - protocol\n    - ports\n"
    text = rule.read_text()
    assert wanted in text, f"{rule} was changed: is the correction still needed?"
    rule.write_text(text.replace(wanted, "  required:\n    - protocol\n"))
    return folder / "specification" / path.name


class RealBench(Bench):
    """A fleet with its hub and the module, and what it has at the cloud."""

    def __init__(self, rig):
        self.cloud = rig.cloud
        super().__init__(
            write, DIGITALOCEAN_TOKEN=TOKEN, DIGITALOCEAN_API_URL=rig.api, TF_CLI_CONFIG_FILE=str(rig.settings),
            TF_VAR_image_url=rig.image_url, SPACES_ENDPOINT_URL="http://127.0.0.1:9",
            # It tries again by itself, which is not what takes time here.
            DIGITALOCEAN_HTTP_RETRY_WAIT_MIN="0.01", DIGITALOCEAN_HTTP_RETRY_WAIT_MAX="0.05")

    def secrets(self):
        return [*self.tokens(), TOKEN, WRONG]

    def machines(self):
        """What is at the cloud, by name, without what changes by itself."""
        return {name: (one["id"], one["asked"]) for name, one in self.cloud.by_name().items()}

    def join_files(self):
        return {path.stem: path.read_text() for path in (self.example / ".e3-joins").glob("*.toml")}

    def unpack_plans(self):
        """A plan is a ZIP archive."""
        for plan in self.example.glob("*.plan"):
            shutil.unpack_archive(plan, self.example / f"{plan.name}.unpacked", "zip")

    def files_with_secrets(self):
        """All of OpenTofu's files that have one, plain or in base64, as it keeps what providers give it to keep."""
        secrets, found = [one.encode() for one in self.secrets()], []
        for path in self.example.rglob("*"):
            if not path.is_file() or path.parent.name == ".e3-joins" or "providers" in path.parts:
                continue
            content = path.read_bytes()
            encoded = [one for one in BASE64.findall(content) if len(one) % 4 == 0]
            pieces = [content, *(base64.b64decode(one) for one in encoded)]
            if any(secret in piece for secret in secrets for piece in pieces):
                found.append(str(path.relative_to(self.example)))
        return found


class Real(unittest.TestCase):
    """The servers once for all tests, a fleet for each."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="e3-real-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.cloud = Cloud()
        cls.addClassCleanup(cls.cloud.close)
        cls.api = f"http://127.0.0.1:{cls.cloud.port}"
        if os.environ.get("E3_DO_DESCRIPTION"):
            port = free_port()
            command = [os.environ["E3_PRISM"], "proxy", str(description(cls.folder)), cls.api, "--errors", "--host", "127.0.0.1",
                       "--port", str(port)]
            cls.prism = Program(command, port, cls.folder)
            cls.addClassCleanup(cls.prism.close)
            cls.api = f"http://127.0.0.1:{port}"
        server, port = serve(Image, cls)
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.image_url = f"http://127.0.0.1:{port}/e3.qcow2.bz2"
        cls.settings = mirror(cls.folder)

    def setUp(self):
        self.cloud.reset()
        self.bench = RealBench(self)
        self.addCleanup(self.bench.close)

    def assert_whole(self, names):
        """Each machine once, with its own join file, and no invite of anybody else's."""
        bench = self.bench
        self.assertEqual(sorted(bench.machines()), sorted(names))
        joins = bench.join_files()
        self.assertEqual(sorted(joins), sorted(names))
        for name, (_, asked) in bench.machines().items():
            self.assertEqual(asked["user_data"], joins[name])
            self.assertEqual(tomllib.loads(asked["user_data"])["name"], name)
        self.assertEqual(bench.invited(), sorted(names))
        self.assertIn("No changes", bench.tofu("plan", "-input=false"))
