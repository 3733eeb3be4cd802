"""The ways to process a batch: event and context in, partial batch response out, on a kept loop.

All have the same limit: the size of the batch, because Powertools knows no other.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import aiometer
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    EventType,
    async_process_partial_response,
)

from asyncbatch import BatchEngine, BatchHandler
from benchmarks.batches import Event, Handler

Record = dict[str, Any]
Response = dict[str, Any]
Call = Callable[[Event, Any], Any]
Subject = Callable[[Handler, int], Call]

ASYNCBATCH = "asyncbatch"
ASYNCBATCH_DEFAULT = "asyncbatch, limit 100"
POWERTOOLS = "Powertools"


def prepare() -> None:
    """Set up the process as Lambda does, and a loop to keep for subjects that own none."""
    os.environ["LAMBDA_TASK_ROOT"] = "/var/task"  # Powertools keeps its loop only then
    os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "benchmark"
    os.environ["POWERTOOLS_TRACE_DISABLED"] = "true"
    # Lambda's runtime formats and writes what is logged; here it goes nowhere.
    logging.basicConfig(filename=os.devnull, force=True)
    asyncio.set_event_loop(asyncio.new_event_loop())


def asyncbatch_call(handler: Handler, limit: int) -> Call:
    return BatchHandler(handler, BatchEngine(concurrency=limit))


def asyncbatch_default_call(handler: Handler, _limit: int) -> Call:
    return BatchHandler(handler, BatchEngine())


def powertools_call(handler: Handler, _limit: int) -> Call:
    processor = AsyncBatchProcessor(event_type=EventType.SQS)

    def call(event: Event, context: Any) -> Any:
        return async_process_partial_response(
            event=event,
            record_handler=handler,
            processor=processor,
            context=context,
        )

    return call


def gather_call(handler: Handler, limit: int) -> Call:
    async def main(records: Sequence[Record]) -> Response:
        semaphore = asyncio.Semaphore(limit)

        async def one(record: Record) -> bool:
            async with semaphore:
                return await _succeeds(handler, record)

        return _response(records, await asyncio.gather(*[one(record) for record in records]))

    return _on_kept_loop(main)


def aiometer_call(handler: Handler, limit: int) -> Call:
    async def main(records: Sequence[Record]) -> Response:
        calls = [partial(_succeeds, handler, record) for record in records]
        return _response(records, await aiometer.run_all(calls, max_at_once=limit))

    return _on_kept_loop(main)


def sequential_call(handler: Handler, _limit: int) -> Call:
    async def main(records: Sequence[Record]) -> Response:
        return _response(records, [await _succeeds(handler, record) for record in records])

    return _on_kept_loop(main)


async def _succeeds(handler: Handler, record: Record) -> bool:
    try:
        await handler(record)
    except Exception:
        return False
    return True


def _response(records: Sequence[Record], succeeded: Sequence[bool]) -> Response:
    failed = [r["messageId"] for r, done in zip(records, succeeded, strict=True) if not done]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


def _on_kept_loop(main: Callable[[Sequence[Record]], Any]) -> Call:
    loop = asyncio.get_event_loop()

    def call(event: Event, _context: Any) -> Any:
        return loop.run_until_complete(main(event["Records"]))

    return call


SUBJECTS: dict[str, Subject] = {
    ASYNCBATCH: asyncbatch_call,
    ASYNCBATCH_DEFAULT: asyncbatch_default_call,
    POWERTOOLS: powertools_call,
    "gather + semaphore": gather_call,
    "aiometer": aiometer_call,
    "sequential": sequential_call,
}
