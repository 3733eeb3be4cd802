"""A batch handler that does what each message says, and prints what happened as JSON lines."""

import asyncio
import contextlib
import gc
import itertools
import json
import os
import sys
import time

from asyncbatch import SqsRecord, batch_handler

numbers = itertools.count(1)
left: list[object] = []
lock = asyncio.Lock()  # of the module: it works in one event loop only


class Odd(BaseException):
    """Neither an Exception nor one of Python's own."""


def note(**facts: object) -> None:
    # One write: print makes two, and forked workers write into the same file.
    os.write(1, f"{json.dumps(facts)}\n".encode())


def loop_number() -> int:
    """Number event loops in the order in which they are first seen; an id may be used again."""
    loop = asyncio.get_running_loop()
    if not hasattr(loop, "number"):
        loop.number = next(numbers)
    return loop.number


async def act(order: dict[str, object]) -> None:
    seconds = float(order.get("seconds", 60.0))
    match order["do"]:
        case "note":
            note(loop=loop_number(), pid=os.getpid())
        case "lock":
            async with lock:  # contended, so that it binds itself to the loop
                await asyncio.sleep(0)
        case "sleep":
            await asyncio.sleep(seconds)
        case "block":
            time.sleep(seconds)
        case "swallow":
            await swallow(seconds, asyncio.CancelledError)
        case "swallow everything":
            await swallow(seconds, BaseException)
        case "stop":
            asyncio.get_running_loop().stop()
            await asyncio.sleep(seconds)
        case "cancel all":
            for task in asyncio.all_tasks():
                task.cancel()
            await asyncio.sleep(seconds)
        case "leave":
            left.append(asyncio.create_task(swallow(seconds, asyncio.CancelledError)))
        case "leave a timer":
            asyncio.get_running_loop().call_later(seconds, TIMERS[str(order["deed"])])
        case "raise":
            raise ERRORS[str(order["error"])]()


async def swallow(seconds: float, errors: type[BaseException]) -> None:
    """Go on, whoever asks to stop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(errors):
            await asyncio.sleep(0.01)
            note(alive=True)


ERRORS = {
    error.__name__: error
    for error in (
        ValueError,
        MemoryError,
        RecursionError,
        StopIteration,
        StopAsyncIteration,
        asyncio.CancelledError,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        Odd,
    )
}


def cancel_all() -> None:
    for task in asyncio.all_tasks(asyncio.get_running_loop()):
        task.cancel()


TIMERS = {
    "exit": sys.exit,
    "cancel all": cancel_all,
    "stop": lambda: asyncio.get_running_loop().stop(),
    "make a task": lambda: left.append(asyncio.ensure_future(swallow(60.0, asyncio.CancelledError))),
}


@batch_handler
async def lambda_handler(record: SqsRecord) -> None:
    await act(record.json())


def collected(event, context):
    """What is left of a batch is destroyed before its reply, not at some later time."""
    reply = lambda_handler(event, context)
    gc.collect()
    return reply


@batch_handler(guard_blocking=True)
async def guarded(record: SqsRecord) -> None:
    await act(record.json())


@batch_handler(record_timeout=0.2)
async def timed(record: SqsRecord) -> None:
    await act(record.json())
