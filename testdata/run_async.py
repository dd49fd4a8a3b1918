import asyncio


async def fetch(n):
    await asyncio.sleep(0.001 * n)
    return n * n


async def numbers():
    for i in range(3):
        yield i
        await asyncio.sleep(0)


async def main():
    print(await asyncio.gather(*(fetch(n) for n in range(4))))
    print([n async for n in numbers()])
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
    except asyncio.TimeoutError:
        print("timeout")
    raise LookupError("at the end of main")


asyncio.run(main())
