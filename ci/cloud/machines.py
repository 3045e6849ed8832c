"""DigitalOcean, as far as machines go: `fake` with droplets, tags and firewalls, as its provider for OpenTofu asks for them.

What it refuses is what the real one is known to refuse: a droplet where its image is not, or without an ssh key.
"""

import itertools
import json
import re
import uuid

from .fake import WHEN, Api, Fake

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*")
SIZE = {"memory": 1024, "vcpus": 1, "disk": 25}


class Refused(Exception):
    """Answered with 422."""


class Cloud(Fake):
    """The cloud with its machines."""

    hash_in_description = False

    def __init__(self):
        self.empty()
        super().__init__(MachinesApi)

    def empty(self):
        self.droplets, self.tags, self.firewalls = {}, set(), {}
        self.numbers = itertools.count(7000)

    def reset(self):
        super().reset()
        self.empty()

    def by_name(self):
        """All droplets by name; two of the same name are a mistake of somebody's."""
        named = {one["name"]: one for one in self.droplets.values()}
        assert len(named) == len(self.droplets), f"machines made twice: {sorted(one['name'] for one in self.droplets.values())}"
        return named

    def kept(self):
        """The images that are there."""
        return [one for one in self.images.values() if one["status"] != "deleted"]

    def left(self):
        """Everything that costs something, or that the next one would stumble over."""
        return [*self.droplets, *self.tags, *self.firewalls, *(one["id"] for one in self.kept())]

    def create_droplet(self, new):
        image = self.images.get(new["image"])
        if not NAME.fullmatch(new["name"]):
            raise Refused("Only valid hostname characters are allowed.")
        if image is None or image["status"] != "available" or new["region"] not in image["regions"]:
            raise Refused("You specified an invalid image for Droplet creation.")
        if not new.get("ssh_keys"):
            raise Refused("Custom images require an ssh key.")
        if len(new.get("user_data", "").encode()) > 64 << 10:
            raise Refused("User data is too long.")
        number = next(self.numbers)
        last = number % 250
        networks = [("192.0.2", "public"), ("10.110.0", "private")]
        droplet = {
            "id": number, "name": new["name"], **SIZE, "locked": False, "status": "new", "kernel": None, "created_at": WHEN,
            "features": ["private_networking"], "backup_ids": [], "next_backup_window": None, "snapshot_ids": [], "image": image,
            "volume_ids": [], "size_slug": new["size"],
            "size": {"slug": new["size"], **SIZE, "transfer": 1.0, "price_monthly": 6.0, "price_hourly": 0.00893,
                     "regions": [new["region"]], "available": True, "description": "Basic"},
            "networks": {"v4": [{"ip_address": f"{network}.{last}", "netmask": "255.255.255.0", "gateway": f"{network}.1", "type": kind}
                                for network, kind in networks], "v6": []},
            "region": {"name": new["region"], "slug": new["region"], "features": [], "available": True, "sizes": [new["size"]]},
            "tags": new.get("tags") or [], "vpc_uuid": str(uuid.UUID(int=1)),
        }
        self.tags.update(droplet["tags"])
        # What was asked for, which no answer has.
        self.droplets[number] = droplet | {"asked": new}
        return droplet

    def shown_droplet(self, number):
        droplet = self.droplets.get(number)
        if droplet is None:
            return None
        # It boots while nobody looks.
        droplet["status"] = "active"
        return {"droplet": {key: value for key, value in droplet.items() if key != "asked"}}

    def shown_tag(self, name):
        if name not in self.tags:
            return None
        droplets = sum(name in one["tags"] for one in self.droplets.values())
        none = {"count": 0}
        kinds = {"images": none, "volumes": none, "volume_snapshots": none, "databases": none}
        return {"tag": {"name": name, "resources": {"count": droplets, "droplets": {"count": droplets}, **kinds}}}

    def keep_firewall(self, new, number=None):
        number = number or str(uuid.uuid4())
        rules = {
            kind: [{**rule, "ports": "0" if rule["protocol"] == "icmp" else rule["ports"]} for rule in new.get(kind) or []]
            for kind in ("inbound_rules", "outbound_rules")
        }
        self.firewalls[number] = {
            "id": number, "name": new["name"], "status": "succeeded", "created_at": WHEN, "pending_changes": [],
            "droplet_ids": new.get("droplet_ids") or [], "tags": new.get("tags") or [], **rules,
        }
        return {"firewall": self.firewalls[number]}


class MachinesApi(Api):
    """The operations on droplets, tags and firewalls, and the end of an image."""

    def do_DELETE(self):
        self.handle_one()

    def do_PUT(self):
        self.handle_one()

    def found(self, address, body):
        kind, *rest = address.path.removeprefix("/v2/").strip("/").split("/")
        new = json.loads(body) if body and self.command in ("POST", "PUT") else None
        if kind == "images":
            return self.image(address, body, rest)
        operation = {"droplets": self.droplet, "tags": self.tag, "firewalls": self.firewall}.get(kind)
        if operation is None or len(rest) > 1 or bool(rest) == (self.command == "POST"):
            return 404, None
        try:
            return operation(rest[0] if rest else None, new)
        except Refused as refused:
            return 422, {"id": "unprocessable_entity", "message": str(refused)}

    def image(self, address, body, rest):
        if self.command != "DELETE":
            return super().found(address, body)
        image = self.owner.images.get(int(rest[0]))
        if image is None or image["status"] == "deleted":
            return 404, None
        image["status"] = "deleted"
        return 204, {}

    def droplet(self, number, new):
        cloud = self.owner
        if self.command == "POST":
            return 202, {"droplet": cloud.create_droplet(new), "links": {"actions": []}}
        if self.command == "DELETE":
            return 204, {} if cloud.droplets.pop(int(number), None) else None
        return 200, cloud.shown_droplet(int(number))

    def tag(self, name, new):
        cloud = self.owner
        if self.command == "POST":
            cloud.tags.add(new["name"])
            return 201, cloud.shown_tag(new["name"])
        if self.command == "DELETE":
            known = name in cloud.tags
            cloud.tags.discard(name)
            return 204, {} if known else None
        return 200, cloud.shown_tag(name)

    def firewall(self, number, new):
        cloud = self.owner
        if self.command == "POST":
            return 202, cloud.keep_firewall(new)
        if number not in cloud.firewalls:
            return 404, None
        if self.command == "DELETE":
            del cloud.firewalls[number]
            return 204, {}
        if self.command == "PUT":
            return 200, cloud.keep_firewall(new, number)
        return 200, {"firewall": cloud.firewalls[number]}
