"""Few rounds with large messages: a layer of a neural network, with secret inputs and secret weights."""

import sys

import numpy as np
from mpyc.runtime import mpc

from measure import report

width = int(sys.argv[1])


async def work():
    secint = mpc.SecInt(32)
    # Small numbers that everybody can check.
    inputs = np.arange(width * width).reshape(width, width) % 7
    weights = np.arange(width * width).reshape(width, width) % 5
    x, w = (mpc.input(secint.array(values), senders=0) for values in (inputs, weights))
    layer = await mpc.output(x @ w)
    assert (layer == inputs @ weights).all()


mpc.run(report(work))
