"""Secret Santa: everybody gives one present and gets one, nobody gives to themselves.

Input:  none.
Output: one line, different at every party: `You give a present to party 2.`
Shown:  to each party only whom it gives to. How often the draw was repeated is
        seen by all, and says nothing about the one that counts.

All derangements (permutations in which nobody stays in place) are equally likely,
so two parties may well draw each other. MPyC's `random_derangement` makes one by
rejection: shuffle under secret sharing, open only whether the product of all
differences to the start is zero, and shuffle again if it is. About 2.7 rounds.
"""

import sys

from mpyc.runtime import mpc


async def main():
    people = len(mpc.parties)
    if people < 2:
        print("Secret Santa needs at least two parties.", file=sys.stderr)
        sys.exit(2)
    secint = mpc.SecInt(people.bit_length() + 1)  # one bit for the sign
    async with mpc:
        gives_to = mpc.random.random_derangement(secint, people)
        # The loop is over all parties everywhere; only party i is sent the i-th value.
        seen = [await mpc.output(gives_to[i], receivers=[i]) for i in range(people)]
    print(f"You give a present to party {int(seen[mpc.pid])}.")


mpc.run(main())
