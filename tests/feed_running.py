"""A feed that runs for as long as a block of a test lasts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hosu.kis.feed import Feed, Registration


@asynccontextmanager
async def running(feed: Feed, desired: Sequence[Registration]) -> AsyncIterator["asyncio.Task[None]"]:
    """Its task."""
    task = asyncio.create_task(feed.run(desired))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
