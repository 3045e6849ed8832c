"""Many rounds with small messages: who gives a present to whom, a secret permutation in which nobody gets their own."""

import sys

from mpyc import random
from mpyc.runtime import mpc

from measure import report

people = int(sys.argv[1])


async def work():
    secint = mpc.SecInt(32)
    gives_to = await mpc.output(random.random_derangement(secint, people))
    assert sorted(gives_to) == list(range(people)) and all(me != you for me, you in enumerate(gives_to))


mpc.run(report(work))
