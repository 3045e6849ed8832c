"""DigitalOcean, as far as images go: it keeps them, fetches what they are made of, and fails as it is told to."""

import hashlib
import json
import re
import threading
import urllib.parse
import urllib.request

from .web import Handler, serve

TOKEN = "dop_v1_" + "5ec2e7" * 8
WHEN = "2026-11-23T00:00:00Z"
STATUS_WORDS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 422: "unprocessable_entity", 429: "too_many_requests"}


class Fake:
    """The cloud. `faults` are taken one by one, by method and path: a dictionary with what to answer, or `hang`, `drop`."""

    # Whether the description says which hash the file has, as `e3 image upload` has it.
    hash_in_description = True

    def __init__(self, api=None):
        self.images, self.actions, self.faults, self.requests = {}, {}, [], []
        self.spoilt_import = None
        self.released = threading.Event()
        self.released.set()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.server, self.port = serve(api or Api, self)

    def close(self):
        self.over.set()
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def reset(self):
        with self.lock:
            self.images, self.actions, self.faults, self.requests = {}, {}, [], []
            self.spoilt_import = None
        self.released.set()

    def fail(self, method, path, times=1, **how):
        self.faults += [{"method": method, "path": path, **how}] * times

    def fault(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault["method"] == method and re.fullmatch(fault["path"], path):
                    self.faults.remove(fault)
                    return fault
        return None

    def count(self, method, path):
        return sum(1 for one in self.requests if one[0] == method and re.fullmatch(path, one[1]))

    def create(self, new):
        with self.lock:
            number = 1000 + len(self.images)
            image = {
                "id": number, "name": new["name"], "type": "custom", "distribution": "Unknown", "slug": None, "public": False,
                "regions": [], "created_at": WHEN, "min_disk_size": 0, "size_gigabytes": 0,
                "description": new.get("description", ""), "tags": new.get("tags") or [], "status": "NEW", "error_message": "",
            }
            self.images[number] = image
        threading.Thread(target=self.fetch, args=(image, new), daemon=True).start()
        return image

    def fetch(self, image, new):
        """As the real one: fetches, and then it is available or gone. It believes the hash in the description no more than its eyes."""
        self.released.wait()
        image["status"] = "pending"
        try:
            digest = hashlib.sha256()
            with urllib.request.urlopen(new["url"], timeout=30) as answer:
                while piece := answer.read(1 << 20):
                    digest.update(piece)
            problem = self.spoilt_import
            if self.hash_in_description and digest.hexdigest() not in image["description"]:
                problem = f"what came has the hash {digest.hexdigest()}"
        except OSError as error:
            problem = f"{new['url']} cannot be fetched: {error}"
        with self.lock:
            if problem:
                image.update(status="deleted", error_message=problem)
            else:
                image.update(status="available", regions=[new["region"]], size_gigabytes=0.04)

    def transfer(self, image, region):
        with self.lock:
            number = 5000 + len(self.actions)
            self.actions[number] = {
                "id": number, "status": "in-progress", "type": "transfer", "started_at": WHEN, "completed_at": None,
                "resource_id": image["id"], "resource_type": "image", "region_slug": region,
            }
            return dict(self.actions[number])

    def look_at(self, number):
        """A transfer is over the second time somebody looks."""
        with self.lock:
            action = self.actions[number]
            shown = dict(action)
            if action["status"] == "in-progress":
                action.update(status="completed", completed_at=WHEN)
                self.images[action["resource_id"]]["regions"].append(action["region_slug"])
            return shown


class Api(Handler):
    """The five operations."""

    def do_GET(self):
        self.handle_one()

    def do_POST(self):
        self.handle_one()

    def handle_one(self):
        fake, body = self.owner, self.body()
        address = urllib.parse.urlsplit(self.path)
        fake.requests.append((self.command, address.path, body))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.problem(401, "Unable to authenticate you.")
        fault = fake.fault(self.command, address.path)
        if fault and fault.get("hang"):
            fake.over.wait(fault["hang"])
            self.close_connection = True
            return None
        if fault and not fault.get("after"):
            return self.problem(fault["status"], fault.get("message", "told to"), fault.get("headers", ()))
        status, found = self.found(address, body)
        if fault:
            # It was done; the answer says something else.
            return self.problem(fault["status"], "told to")
        if found is None:
            return self.problem(404, "The resource you were accessing could not be found.")
        return self.json(status, found)

    def found(self, address, body):
        fake = self.owner
        parts = address.path.removeprefix("/v2/images").strip("/").split("/")
        if parts == [""]:
            if self.command == "POST":
                return 202, {"image": fake.create(json.loads(body))}
            query = dict(urllib.parse.parse_qsl(address.query))
            shown = [one for one in fake.images.values() if query.get("tag_name") in one["tags"]]
            return 200, {"images": shown, "links": {}, "meta": {"total": len(shown)}}
        image = fake.images.get(int(parts[0]))
        if image is None:
            return 404, None
        if len(parts) == 1:
            return 200, {"image": image}
        if self.command == "POST":
            return 201, {"action": fake.transfer(image, json.loads(body)["region"])}
        return 200, {"action": fake.look_at(int(parts[2]))}

    def problem(self, status, message, headers=()):
        self.json(status, {"id": STATUS_WORDS.get(status, "server_error"), "message": message}, headers)

    def json(self, status, value, headers=()):
        self.answer(status, b"" if status == 204 else json.dumps(value).encode(), [("content-type", "application/json"), *headers])
