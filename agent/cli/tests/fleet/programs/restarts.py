"""In the style of MPyC's demos: a context instead of start and shutdown, and secure fixed-point numbers."""

import sys

from mpyc.runtime import mpc


@mpc.coroutine
async def mean(values):
    await mpc.returnType(type(values[0]))
    return mpc.statistics.mean(values)


async def main():
    secfxp = mpc.SecFxp()
    async with mpc:
        values = mpc.input(secfxp(mpc.pid + 0.5))
        print(f"{float(await mpc.output(mean(values))):.2f} of {len(mpc.parties)}")


if __name__ == "__main__":
    assert sys.argv[1:] == [], sys.argv
    mpc.run(main())
