import asyncio


async def answer():
    return 42


loop = asyncio.new_event_loop()
print(loop.run_until_complete(answer()))
loop.close()
