"""A sealed-bid auction: the highest bid wins and pays the second highest (Vickrey).

Input:  `bid`, a whole number from 0 to 1,000,000,000.
Output: one line, the same at every party: `Party 2 wins and pays 410.`
        Of equal highest bids the party with the lowest index wins, and pays that bid.
        A bidder alone pays 0: there is no reserve price.
Shown:  the winner and the price; not whose bid the price was, nor any other bid.
"""

import os
import sys

from mpyc.runtime import mpc

HIGHEST = 10**9
LONGEST = 64  # characters of the file; more is no number


def private_input(name, highest):
    """The private number in the file `name` of this party's inputs, from 0 to highest.

    Under E3 the inputs stand in the directory E3_INPUTS. By hand, where all parties
    share one environment, `{party}` in E3_INPUTS becomes the party's index; without
    E3_INPUTS it is `inputs/{party}`. A message never shows what the file holds.
    """
    folder = os.environ.get("E3_INPUTS", "inputs/{party}").replace("{party}", str(mpc.pid))
    path = os.path.join(folder, name)
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(LONGEST + 1)
    except OSError as error:
        wrong = (error.strerror or "cannot be read").lower()
    except UnicodeDecodeError:
        wrong = "not a whole number"
    else:
        if len(text) > LONGEST or not text.strip().isdigit():
            wrong = "not a whole number"
        elif int(text) > highest:
            wrong = "too large"
        else:
            return int(text)
    print(f"{path}: {wrong}; it must hold one whole number from 0 to {highest}", file=sys.stderr)
    sys.exit(2)


async def main():
    secint = mpc.SecInt(HIGHEST.bit_length() + 1)  # one bit for the sign
    bid = secint(private_input("bid", HIGHEST))
    async with mpc:
        bids = mpc.input(bid)
        first, _ = mpc.argmax(bids)  # the first of equals
        is_winner = mpc.unit_vector(first, len(bids)) if len(bids) > 1 else [secint(1)]
        others = [b * (1 - w) for b, w in zip(bids, is_winner)]  # the winner's becomes 0
        winner, price = await mpc.output([first, mpc.max(others)])
    print(f"Party {int(winner)} wins and pays {int(price)}.")


mpc.run(main())
