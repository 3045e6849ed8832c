import base64
import json
import shlex


def parties():
    return sorted((m for m in machines if m.name.startswith("p")), key=lambda m: m.name)


def put(machine, path, text, mode="0600"):
    """Writes a file on a machine; the text is in no argument that others see."""
    packed = base64.b64encode(text.encode()).decode()
    machine.succeed(f"umask 077; echo {packed} | base64 -d > {path}.new; chmod {mode} {path}.new; mv {path}.new {path}")


def found():
    """The owner's key, the fleet, the hub."""
    owner.wait_for_unit("multi-user.target")
    owner.succeed("cd /root && e3 key new key.pem && env -u E3_FLEET e3 fleet new demo --hub http://owner:8420")
    owner.succeed("systemctl start hub")
    owner.wait_for_open_port(8420)


def invite(machine):
    """A join file for a machine, as text."""
    owner.succeed(f"cd /root && e3 fleet invite {machine.name} -o {machine.name}.toml")
    return owner.succeed(f"cat /root/{machine.name}.toml")


def enrolled(number, seconds=120):
    """Waits until so many machines are ready, and accepts them."""
    ready = f"e3 fleet status --json | jq -e '[.parties[] | select(.state == \"ready\")] | length == {number}'"
    owner.wait_until_succeeds(ready, timeout=seconds)
    owner.succeed("e3 fleet accept --all --yes")


def start():
    """All of it: afterwards every machine is a party of the fleet."""
    start_all()
    found()
    for machine in parties():
        machine.wait_for_unit("e3-agent.service")
        put(machine, "/etc/e3/e3.toml", invite(machine))
    enrolled(len(parties()))


def push(name, program="sum.py", mpyc="0.11", more=""):
    """Signs and publishes a session of all parties."""
    names = json.dumps([machine.name for machine in parties()])
    manifest = "\n".join(
        [
            f'name = "{name}"',
            f"parties = {names}",
            f'program = "{program}"',
            more,
            "[mpyc]",
            f'version = "{mpyc}"',
            'wheel = "mpyc-0.11-py3-none-any.whl"',
            "[deadlines]",
            'preflight = "60s"',
            "",
        ]
    )
    owner.succeed("mkdir -p /root/sessions && cp -L /etc/e3-test/* /root/sessions/")
    put(owner, f"/root/sessions/{name}.toml", manifest)
    owner.succeed(f"cd /root/sessions && e3 session sign {name}.toml && e3 session push {name}.session")


def receipts(name, seconds=120):
    """What every party has signed about a session, in order; None for who has signed nothing."""
    _, out = owner.execute(f"e3 session watch {name} --json --timeout {seconds} | tail -n 1")
    return [party.get("receipt") for party in json.loads(out)["parties"]]


def outcomes(name, seconds=120):
    """The kind of each outcome: done, or the reason with the name of whom it blames."""
    said = []
    for receipt in receipts(name, seconds):
        outcome = receipt["outcome"] if receipt else {"kind": "nothing"}
        said.append(json.dumps(outcome))
    return said


def running(machine, seconds=120):
    """Waits until a session's program runs on a machine, and is connected to the others."""
    machine.wait_until_succeeds("systemctl is-active 'e3-party@*.service'", timeout=seconds)
    machine.wait_until_succeeds("e3-agent status | grep -q running", timeout=seconds)


def in_the_middle(name):
    """Publishes a session that takes long, and waits until its program runs on every machine."""
    push(name, program="slow.py")
    for machine in parties():
        running(machine)


def says(machine, words, seconds=60):
    """Waits until a machine's own status says so."""
    machine.wait_until_succeeds(f"e3-agent status | tr -s ' \\n' ' ' | grep -qF {shlex.quote(words)}", timeout=seconds)
