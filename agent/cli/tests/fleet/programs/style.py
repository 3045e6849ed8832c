"""In the style of MPyC's demos: statements at module level, arguments, a data file beside the program."""

import argparse
import os
import sys

from mpyc.runtime import mpc

parser = argparse.ArgumentParser()
parser.add_argument("-o", "--offset", type=int, default=0)
parser.add_argument("-v", "--verbose", action="store_true")
parser.add_argument("rows", type=int)
args = parser.parse_args()

with open(os.path.join("data", "table.csv"), encoding="ascii") as file:
    table = [[int(cell) for cell in line.split(",")] for line in file][: args.rows]

secint = mpc.SecInt(64)
mpc.run(mpc.start())
shares = [[mpc.input(secint(cell), senders=0) for cell in row] for row in table]
products = [mpc.prod(row) for row in shares]
print("products:", mpc.run(mpc.output(products)), file=sys.stderr)
print(int(mpc.run(mpc.output(mpc.sum(products)))) + args.offset)
mpc.run(mpc.shutdown())
