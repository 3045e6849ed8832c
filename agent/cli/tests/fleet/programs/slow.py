"""Notes its start in FOLDER/PARTY, then computes until there is a file FOLDER/stop."""

import asyncio
import os
import sys

from mpyc.runtime import mpc

FOLDER = sys.argv[1]
with open(os.path.join(FOLDER, str(mpc.pid)), "a", encoding="ascii") as marks:
    marks.write(f"{os.getpid()}\n")


async def main():
    secint = mpc.SecInt(32)
    await mpc.start()
    with open(os.path.join(FOLDER, f"{mpc.pid}.runs"), "w", encoding="ascii"):
        pass
    # Party 0 looks for all of them: they must agree on when to stop.
    while not await mpc.transfer(os.path.exists(os.path.join(FOLDER, "stop")), senders=0):
        await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))
        await asyncio.sleep(0.02)
    print(int(await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))))
    await mpc.shutdown()


mpc.run(main())
