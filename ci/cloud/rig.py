"""The servers, and `e3` as its user starts it."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

from .fake import TOKEN, Fake
from .program import Program, free_port
from .relay import Relay

HERE = Path(__file__).parent
BUCKET = "images"
KEY, SECRET = "SPACESKEY0123456789", "spaces-secret-" + "f00d" * 8
MIB = 1 << 20


class Rig:
    """Everything, once for all tests."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="e3-cloud-"))
        port = free_port()
        self.moto = Program([str(Path(sys.prefix) / "bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, self.folder)
        self.relay, self.fake = Relay(port), Fake()
        port = free_port()
        self.prism = Program(
            [os.environ["E3_PRISM"], "proxy", str(HERE / "digitalocean.yaml"), f"http://127.0.0.1:{self.fake.port}",
             "--errors", "--host", "127.0.0.1", "--port", str(port)],
            port, self.folder)
        self.api = f"http://127.0.0.1:{port}"
        self.space = f"http://127.0.0.1:{self.relay.port}/{BUCKET}"
        self.s3 = self.s3_client()
        self.s3.create_bucket(Bucket=BUCKET)
        self.image = self.make_image("e3-test-x86_64.qcow2", 44 * MIB)

    def s3_client(self, **config):
        """boto3, straight to the storage."""
        return boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.moto.port}", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            region_name="us-east-1", config=Config(retries={"max_attempts": 1}, **config))

    def close(self):
        self.fake.close()
        self.relay.close()
        self.prism.close()
        self.moto.close()
        shutil.rmtree(self.folder)

    def reset(self):
        self.fake.reset()
        self.relay.release()
        self.relay.reset()
        self.empty_space()
        shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def make_image(self, name, size):
        path = self.folder / name
        noise = random.Random(name)
        with path.open("wb") as file:
            file.write(b"QFI\xfb" + noise.randbytes(MIB - 4))
            for _ in range(size // MIB - 1):
                file.write(noise.randbytes(MIB))
        return path

    def objects(self):
        return [one["Key"] for one in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def uploads(self):
        return [(one["Key"], one["UploadId"]) for one in self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def empty_space(self):
        for key in self.objects():
            self.s3.delete_object(Bucket=BUCKET, Key=key)
        for key, upload in self.uploads():
            self.s3.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)

    def start(self, *arguments, image=None, space=None, api=None, **variables):
        """Starts an upload with --json."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache"),
            "DIGITALOCEAN_TOKEN": TOKEN, "SPACES_ACCESS_KEY_ID": KEY, "SPACES_SECRET_ACCESS_KEY": SECRET,
            "DIGITALOCEAN_API_URL": api or self.api, **variables,
        }
        command = [os.environ["E3_CLI"], "--json", "image", "upload", "digitalocean", str(image or self.image),
                   "--space", space or self.space, *arguments]
        if "--region" not in arguments:
            command += ["--region", "ams3"]
        environment = {name: value for name, value in environment.items() if value is not None}
        stdin = subprocess.PIPE if "--credentials" in arguments else subprocess.DEVNULL
        return subprocess.Popen(
            command, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process, stdin=None, seconds=120):
        """Its exit status, and its answer: what it prints, or what it says is wrong."""
        out, err = process.communicate(stdin, timeout=seconds)
        for secret in (TOKEN, SECRET, "X-Amz-Signature"):
            assert secret not in out + err, f"{secret} is shown: {out}{err}"
        lines = [line for line in (out + err).splitlines() if line.startswith("{")]
        if not lines:
            raise AssertionError(f"exit {process.returncode}, and no JSON: {out}{err}")
        return process.returncode, json.loads(lines[-1])

    def run(self, *arguments, stdin=None, **more):
        return self.finish(self.start(*arguments, **more), stdin)

    def ask(self, method, path, body=None):
        """Asks Prism by hand; returns the status."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        try:
            request = urllib.request.Request(self.api + path, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


def kept_parts(rig):
    """How many parts the record on the disk has."""
    records = list((rig.folder / "cache/e3/uploads").glob("*.json"))
    if not records:
        return 0
    stage = json.loads(records[0].read_text())["stage"]
    return len(stage["sending"]["parts"]) if "sending" in stage else 0


def part_numbers(paths):
    return sorted(int(re.search(r"partNumber=(\d+)", path)[1]) for path in paths)
