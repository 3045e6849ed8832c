"""Who is the richest? Nobody learns how rich anybody is.

Input:  `wealth`, a whole number from 0 to 1,000,000,000,000.
Output: one line, the same at every party: `Party 1 is the richest.`
        Of equally rich parties it names the one with the lowest index.
Shown:  only that index.
"""

import os
import sys

from mpyc.runtime import mpc

HIGHEST = 10**12
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
    wealth = secint(private_input("wealth", HIGHEST))
    async with mpc:
        richest, _ = mpc.argmax(mpc.input(wealth))  # the first of equals
        winner = int(await mpc.output(richest))
    print(f"Party {winner} is the richest.")


mpc.run(main())
