"""Adds up the parties' numbers."""

from mpyc.runtime import mpc


async def main():
    secint = mpc.SecInt(32)
    await mpc.start()
    print(int(await mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))))
    await mpc.shutdown()


mpc.run(main())
