"""How a join file gets from the medium of each image to the agent: real files on real media, imported by the units that the
images ship: `ci/lab media`.

| file | idea |
|---|---|
| `case` | a laboratory whose machines have the media of the images |
| `places` | each medium joins its machine, has no secrets afterwards, and may be late |
| `bad` | broken files, files that disagree, a card that is missing: said on the console, and the machine boots |
"""

from .. import suite


def run(names=("places", "bad")):
    """Runs all tests; True if all passed."""
    return suite.run(__name__, names)
