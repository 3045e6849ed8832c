"""What do we earn on average? Nobody learns what anybody earns.

Input:  `salary`, a whole number from 0 to 1,000,000,000.
Output: one line, the same at every party: `The average salary of 3 people is 48,333.33.`
        Rounded to two digits, halves up.
Shown:  the sum, from which the average follows. If all but one put theirs together
        they can take them off it: that is so for any average, however computed.
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
    people = len(mpc.parties)
    secint = mpc.SecInt((people * HIGHEST).bit_length() + 1)  # one bit for the sign
    salary = secint(private_input("salary", HIGHEST))
    async with mpc:
        total = int(await mpc.output(mpc.sum(mpc.input(salary))))
    # In whole hundredths: floating point might round differently somewhere.
    units, hundredths = divmod((200 * total + people) // (2 * people), 100)
    noun = "person" if people == 1 else "people"
    print(f"The average salary of {people} {noun} is {units:,}.{hundredths:02}.")


mpc.run(main())
