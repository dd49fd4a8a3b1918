import asyncio
import warnings


async def answer():
    return 42


warnings.simplefilter("ignore")
print(asyncio.get_event_loop().run_until_complete(answer()))
