"""The ways to process a batch: event and context in, partial batch response out, on a kept loop."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import aiometer
from aiostream import stream
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    EventType,
    async_process_partial_response,
)

from asyncbatch import BatchEngine, BatchHandler
from benchmarks.batches import Event
from benchmarks.handlers import Handler

Record = dict[str, Any]
Call = Callable[[Event, Any], Any]
One = Callable[[Record], Awaitable[bool]]
Scheme = Callable[[One, Sequence[Record], int], Awaitable[Sequence[bool]]]

ASYNCBATCH = "asyncbatch"
ASYNCBATCH_DEFAULT = "asyncbatch, limit 100"
POWERTOOLS = "Powertools"
GATHER_SEMAPHORE = "gather + semaphore"
SEQUENTIAL = "sequential"


def prepare() -> None:
    """Set up the process as Lambda does, and a loop to keep for engines that own none."""
    os.environ["LAMBDA_TASK_ROOT"] = "/var/task"  # Powertools keeps its loop only then
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "benchmark"
    os.environ["POWERTOOLS_TRACE_DISABLED"] = "true"
    # Lambda's runtime formats and writes what is logged; here it goes nowhere.
    logging.basicConfig(filename=os.devnull, force=True)
    asyncio.set_event_loop(asyncio.new_event_loop())


def asyncbatch_call(handler: Handler, limit: int) -> Call:
    return BatchHandler(handler, BatchEngine(concurrency=limit))


def asyncbatch_default_call(handler: Handler, _limit: int = 0) -> Call:
    return BatchHandler(handler, BatchEngine())


def powertools_call(handler: Handler, _limit: int = 0) -> Call:
    processor = AsyncBatchProcessor(event_type=EventType.SQS)

    def call(event: Event, context: Any) -> Any:
        return async_process_partial_response(
            event=event,
            record_handler=handler,
            processor=processor,
            context=context,
        )

    return call


# --- what people write themselves -----------------------------------------------------------------


async def gather(one: One, records: Sequence[Record], _limit: int) -> Sequence[bool]:
    return await asyncio.gather(*[one(record) for record in records])


async def gather_with_semaphore(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
    semaphore = asyncio.Semaphore(limit)

    async def bounded(record: Record) -> bool:
        async with semaphore:
            return await one(record)

    return await asyncio.gather(*[bounded(record) for record in records])


async def task_group_with_semaphore(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
    semaphore = asyncio.Semaphore(limit)

    async def bounded(record: Record) -> bool:
        async with semaphore:
            return await one(record)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bounded(record)) for record in records]
    return [task.result() for task in tasks]


async def with_aiometer(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
    done: list[bool] = await aiometer.run_all([partial(one, record) for record in records], max_at_once=limit)
    return done


async def with_aiostream(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
    function: Any = one  # it could be given several streams, as its type says
    done: Any = await stream.list(stream.map(stream.iterate(records), function, task_limit=limit))
    return list[bool](done)


async def one_after_another(one: One, records: Sequence[Record], _limit: int) -> Sequence[bool]:
    return [await one(record) for record in records]


async def a_lock_per_group(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
    """Keep the order of message groups the way it is often written: a lock each, then the semaphore."""
    semaphore = asyncio.Semaphore(limit)
    groups = {record["attributes"]["MessageGroupId"] for record in records}
    locks = {group: asyncio.Lock() for group in groups}

    async def in_turn(record: Record) -> bool:
        async with locks[record["attributes"]["MessageGroupId"]], semaphore:
            return await one(record)

    return await asyncio.gather(*[in_turn(record) for record in records])


def call_of(
    scheme: Scheme, handler: Handler, limit: int, loop: asyncio.AbstractEventLoop | None = None
) -> Call:
    """Make a scheme a function of an event.

    Args:
        scheme: Runs a function of a record for every record, and returns what each returned.
        handler: The record handler; what it raises fails its record.
        limit: Most records in flight, where the scheme has a limit.
        loop: The loop to keep; None for the one that is set.
    """
    kept = loop or asyncio.get_event_loop()

    async def one(record: Record) -> bool:
        try:
            await handler(record)
        except Exception:
            return False
        return True

    async def main(records: Sequence[Record]) -> dict[str, Any]:
        succeeded = await scheme(one, records, limit)
        failed = [r["messageId"] for r, done in zip(records, succeeded, strict=True) if not done]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    return lambda event, _context: kept.run_until_complete(main(event["Records"]))


Engine = Callable[[Handler, int], Call]

ENGINES: dict[str, Engine] = {
    ASYNCBATCH: asyncbatch_call,
    ASYNCBATCH_DEFAULT: asyncbatch_default_call,
    POWERTOOLS: powertools_call,
    "gather": partial(call_of, gather),
    GATHER_SEMAPHORE: partial(call_of, gather_with_semaphore),
    "TaskGroup + semaphore": partial(call_of, task_group_with_semaphore),
    "aiometer": partial(call_of, with_aiometer),
    "aiostream": partial(call_of, with_aiostream),
    SEQUENTIAL: partial(call_of, one_after_another),
}
SLOW = {"aiometer", "aiostream"}
"""Take ten times as long as the others; left out of the largest batches."""


def check_reply(name: str, reply: Any, expected: Sequence[str] = ()) -> None:
    """Refuse an engine whose reply is wrong: it is not timed.

    Args:
        name: The engine's name.
        reply: The partial batch response.
        expected: Identifiers of the records that had to fail, in order.

    Raises:
        WrongReplyError: The reply names other records.
    """
    try:
        named = [failure["itemIdentifier"] for failure in reply["batchItemFailures"]]
    except (TypeError, KeyError):
        raise WrongReplyError(
            f"{name}: returned a {type(reply).__name__}, not a partial batch response"
        ) from None
    if named != list(expected):
        raise WrongReplyError(
            f"{name}: its reply names {len(named)} failed records, and {len(expected)} had to fail: not timed"
        )


class WrongReplyError(Exception):
    """Raised when what is to be timed does not do its work."""
