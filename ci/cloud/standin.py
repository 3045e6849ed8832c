"""The OpenTofu module with DigitalOcean left out: its resources become `terraform_data`, which OpenTofu has itself and which keeps
what it is given. What is left is what the module decides: which machines, what they are called, whose join file each gets, what is
made anew when, and what is done in the end. `real` has the provider, and ci/checks/tofu its schema. A firewall's rules are left out.

The provider keeps of user data their SHA-1 (`HashStringStateFunc` in digitalocean/droplet/resource_droplet.go of
terraform-provider-digitalocean, 401992a1), and so does this.
"""

import re
from pathlib import Path

MODULE = Path(__file__).parents[2] / "images/digitalocean/tofu"
BLOCK = re.compile(r'^resource "digitalocean_(\w+)" "(\w+)" \{\n(.*?)^\}\n', re.M | re.S)
INNER = re.compile(r"^  (\w+) \{\n(.*?)^  \}\n", re.M | re.S)
ARGUMENT = re.compile(r"^  (\w+)\s+= (.*)\n", re.M)


def resource(match):
    """One resource, as its stand-in."""
    kind, name, body = match.groups()
    inner = {block[1]: block[2] for block in INNER.finditer(body)}
    arguments = dict(ARGUMENT.findall(INNER.sub("", body)))
    lines = [f'resource "terraform_data" "{kind}_{name}" {{']
    if "for_each" in arguments:
        lines.append(f"  for_each = {arguments.pop('for_each')}")
    if "user_data" in arguments:
        arguments["user_data"] = f"try(sha1({arguments['user_data']}), null)"
    lines += ["  input = {", *(f"    {key} = {value}" for key, value in arguments.items()), "  }"]
    if "lifecycle" in inner:
        ignored = re.sub(r"(?<=[\[ ])(\w+)(?=[,\]])", r"input.\1", re.search(r"ignore_changes = .*", inner["lifecycle"])[0])
        lines += ["  lifecycle {", re.sub(r"ignore_changes = .*", ignored, inner["lifecycle"]).rstrip(), "  }"]
    return "\n".join([*lines, "}", ""])


def references(text):
    text = re.sub(r"\bdigitalocean_custom_image\.e3(\[[^]]*\])\.image_id", r"terraform_data.custom_image_e3\1.id", text)
    text = re.sub(r"\bdigitalocean_(\w+)\.(\w+)", r"terraform_data.\1_\2", text)
    text = text.replace("droplet.region", "droplet.output.region")
    return text.replace("droplet.ipv4_address", '"192.0.2.1"')


def write(folder):
    """The module and its example, as OpenTofu can run them without a provider."""
    (folder / "example").mkdir(parents=True)
    for path in MODULE.glob("*.tf"):
        text = references(BLOCK.sub(resource, path.read_text()))
        text = re.sub(r"  required_providers \{\n.*?^  \}\n", "", text, flags=re.M | re.S)
        assert "digitalocean_" not in re.sub(r"(?m)#.*$", "", text), f"something is left in {path.name}"
        (folder / path.name).write_text(text)
    (folder / "example/main.tf").write_text((MODULE / "example/main.tf").read_text())
