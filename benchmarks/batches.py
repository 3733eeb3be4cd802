"""The batches, the handlers, and the context that every subject gets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncbatch.testing import LambdaContext, kinesis_event, sqs_event, sqs_fifo_event

Event = dict[str, Any]
Handler = Callable[[Any], Awaitable[None]]

FAILS_EVERY = 100


def context() -> LambdaContext:
    """Make a Lambda context whose time does not run out while we measure."""
    return LambdaContext(timeout=900.0)


def queue_event(size: int, *, padding: int = 0) -> Event:
    """Make a batch of an SQS standard queue: every record is a lane of its own."""
    text = "x" * padding
    return sqs_event([{"order": position, "text": text} for position in range(size)])


def fifo_event(size: int, lanes: int | None = None) -> Event:
    """Make a batch of an SQS FIFO queue, spread over message groups; one each by default."""
    groups = [f"group {position % (lanes or size)}" for position in range(size)]
    return sqs_fifo_event([{"order": position} for position in range(size)], groups=groups)


def stream_event(size: int, lanes: int | None = None) -> Event:
    """Make a batch of a Kinesis shard, spread over partition keys; one each by default."""
    keys = [f"key {position % (lanes or size)}" for position in range(size)]
    return kinesis_event([{"order": position} for position in range(size)], keys=keys)


def never_waits() -> Handler:
    async def handler(record: Any) -> None: ...

    return handler


def waits_once() -> Handler:
    async def handler(record: Any) -> None:
        await asyncio.sleep(0)

    return handler


def fails_one_percent() -> Handler:
    """Make a handler whose every hundredth call raises, whatever the size of the batches."""
    calls = 0

    async def handler(record: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % FAILS_EVERY == 0:
            raise ValueError("one in a hundred")

    return handler


HANDLERS: dict[str, Callable[[], Handler]] = {
    "never waits": never_waits,
    "waits once": waits_once,
    "fails 1 %": fails_one_percent,
}
