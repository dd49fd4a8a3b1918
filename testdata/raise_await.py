import asyncio


async def inner():
    await asyncio.sleep(0)
    raise KeyError("inner")


async def outer():
    try:
        await inner()
    except KeyError as e:
        raise RuntimeError("outer") from e


asyncio.run(outer())
