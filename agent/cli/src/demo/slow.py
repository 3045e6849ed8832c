"""A salary survey that takes its time: `e3 demo --fault kill` needs something to interrupt.

Computes the sum of all salaries again and again for a minute, then prints the average.
Reads the party's own salary from the named local input `salary`, like average.py.
"""

import os
import time

from mpyc.runtime import mpc

SECONDS = 60


async def main():
    with open(os.path.join(os.environ["E3_INPUTS"], "salary"), encoding="ascii") as file:
        salary = int(file.read())
    secint = mpc.SecInt(64)
    await mpc.start()
    end = time.monotonic() + SECONDS
    # The parties must agree on when to stop, so party 0's clock decides for all of them.
    while await mpc.transfer(time.monotonic() < end, senders=0):
        total = await mpc.output(mpc.sum(mpc.input(secint(salary))))
    print(f"The average salary of {len(mpc.parties)} people is {total / len(mpc.parties):,.2f}.")
    await mpc.shutdown()


mpc.run(main())
