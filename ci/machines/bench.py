"""`ci/bench lab`: E3 beside the way it was done before, on the same machines, with the same program, in one run.

Old and new alternate, and so does the program alone, started everywhere at the same instant without either; medians are
compared. Old is what was typed then: prsync, then pssh as root, without signatures, TLS or receipts. New is `e3 session
sign` and `e3 session push --watch`, with all of them. And how long a machine takes from systemd's start until its agent
has joined, and the agent from its own until it is ready. Nothing is judged: machines differ, and a busy one says nothing.
"""

import json
import os
import statistics
import time
from pathlib import Path

from .byhand import ByHand
from .failure import LabError
from .fleet import Fleet, need_binary
from .lab import Lab

# Counted runs of each kind, after one that is not counted.
RUNS = 5
PARTIES = (3, 6)
# Of one machine, after its power was cut.
BOOTS = 5
PROGRAM = """\
from mpyc.runtime import mpc

secint = mpc.SecInt(32)


async def main():
    async with mpc:
        print("sum", await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1)))))


mpc.run(main())
"""


def run(args, say):
    """Measures, prints a table, and with `--json` a last line of JSON."""
    report = {"parties": [compare(count, say) for count in PARTIES], "boot": boots(say)}
    print(f"{'command to result':24} {'by hand':>9} {'with E3':>9} {'program alone':>14} {'ratio beyond it':>16}")
    for row in report["parties"]:
        print(f"{row['parties']:2} parties               {row['by_hand_s']:7.2f} s {row['e3_s']:7.2f} s {row['alone_s']:12.2f} s"
              f" {'-' if row['ratio_beyond_alone'] is None else row['ratio_beyond_alone']:>16}")
    boot = report["boot"]
    print(f"process 1 to joined {boot['joined_s']:.2f} s; agent's start to ready {boot['ready_ms']:.1f} ms;"
          f" its memory then {boot['rss_kib']} KiB")
    if args.json:
        print(json.dumps(report))


def compare(count, say):
    """Both ways among `count` parties; one machine more is where the old commands are typed."""
    wheel = Path(os.environ["E3_TEST_WHEEL"])
    with Lab(count + 1, agent=os.environ["E3_AGENT"], say=say) as lab:
        fleet = Fleet(lab, need_binary())
        desk = fleet.parties.pop()
        fleet.start()
        fleet.folder.joinpath("program.py").write_text(PROGRAM)
        by_hand = ByHand(lab, desk, fleet.parties, os.environ["E3_TEST_MPYC"])
        seconds = {"by_hand_s": [], "e3_s": [], "alone_s": []}
        expected = f"sum {count * (count + 1) // 2}"
        for turn in range(RUNS + 1):
            say(f"{count} parties, run {turn} of {RUNS}")
            results = {
                "by_hand_s": by_hand.run(PROGRAM),
                "e3_s": with_e3(fleet, f"run-{turn}", wheel),
                "alone_s": by_hand.alone(PROGRAM),
            }
            for kind, (took, printed) in results.items():
                if printed.count(expected) != (1 if kind == "e3_s" else count):
                    raise LabError(f"{kind}: not what the program prints: {printed}")
                seconds[kind].append(took)
    row = {kind: statistics.median(times[1:]) for kind, times in seconds.items()}
    by_hand, e3 = row["by_hand_s"] - row["alone_s"], row["e3_s"] - row["alone_s"]
    # On a machine that is too busy to tell, the old way seems to cost nothing.
    ratio = round(e3 / by_hand, 2) if by_hand > 0 else None
    return {"parties": count, **{kind: round(took, 3) for kind, took in row.items()}, "ratio_beyond_alone": ratio}


def boots(say):
    """How long a machine with a party takes to come up, without a mesh; medians."""
    with Lab(1, agent=os.environ["E3_AGENT"], say=say) as lab:
        fleet = Fleet(lab, need_binary())
        fleet.start()
        machine = lab[fleet.parties[0]]
        rows = []
        for turn in range(BOOTS):
            say(f"boot {turn + 1} of {BOOTS}")
            machine.power_cut()
            machine.boot()
            fleet.enrolled(fleet.parties)
            rows.append(boot(machine))
        return {kind: statistics.median(row[kind] for row in rows) for kind in rows[0]}


def boot(machine):
    """What systemd and the journal of a machine say of its last boot; all by one clock, in microseconds."""
    def ask(*what):
        return machine.run(["systemctl", "show", *what]).out.strip()

    def of_agent(name):
        return ask("--property", name, "--value", "e3-agent")

    journal = machine.journal("e3-agent", "--boot", "--output=json", "--output-fields=MESSAGE").splitlines()
    lines = [json.loads(line) for line in journal]
    joined = [int(line["__MONOTONIC_TIMESTAMP"]) for line in lines if line["MESSAGE"] == "joined"]
    if len(joined) != 1:
        raise LabError(f"the agent joined {len(joined)} times: {[line['MESSAGE'] for line in lines]}")
    # From the moment at which the process is the agent, and no longer systemd's.
    handed_over = int(of_agent("ExecMainHandoffTimestampMonotonic"))
    rss = next(line for line in machine.read(f"/proc/{of_agent('MainPID')}/status").splitlines() if line.startswith("VmRSS:"))
    return {
        "joined_s": (joined[0] - int(ask("--property", "UserspaceTimestampMonotonic", "--value"))) / 1e6,
        "ready_ms": (int(of_agent("ActiveEnterTimestampMonotonic")) - handed_over) / 1e3,
        "rss_kib": int(rss.split()[1]),
    }


def with_e3(fleet, name, wheel):
    """Signs and pushes a session, and waits for the last receipt; returns seconds, and what party 0 printed."""
    manifest = [f'name = "{name}"', f"parties = {json.dumps(fleet.parties)}", 'program = "program.py"', "[mpyc]",
                'version = "0.11"', f'wheel = "{wheel}"', ""]
    fleet.folder.joinpath(f"{name}.toml").write_text("\n".join(manifest))
    begin = time.monotonic()
    fleet.e3("session", "sign", f"{name}.toml")
    fleet.e3("session", "push", f"{name}.session", "--watch")
    took = time.monotonic() - begin
    return took, fleet.lab[fleet.parties[0]].run(["e3-agent", "result", name]).out
