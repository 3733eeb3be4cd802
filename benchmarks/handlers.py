"""The record handlers: what a record costs beyond them is what we measure."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

Handler = Callable[[Any], Awaitable[None]]

FAILS_EVERY = 100
MANY_WAITS = 20
IO_SECONDS = 0.005
CPU_SECONDS = 0.001


def never_waits() -> Handler:
    async def handler(record: Any) -> None: ...

    return handler


def waits_once() -> Handler:
    async def handler(record: Any) -> None:
        await asyncio.sleep(0)

    return handler


def waits_20_times() -> Handler:
    async def handler(record: Any) -> None:
        for _ in range(MANY_WAITS):
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


def waits_5_ms() -> Handler:
    async def handler(record: Any) -> None:
        await asyncio.sleep(IO_SECONDS)

    return handler


def reads_and_waits_5_ms() -> Handler:
    """Make a handler that decodes the body, as most do, and waits 5 ms."""

    async def handler(record: Any) -> None:
        _ = json.loads(record["body"]) if isinstance(record, dict) else record.json_body
        await asyncio.sleep(IO_SECONDS)

    return handler


def burns_1_ms() -> Handler:
    async def handler(record: Any) -> None:
        end = perf_counter() + CPU_SECONDS
        while perf_counter() < end:
            pass

    return handler


NEVER_WAITS = "never waits"
WAITS_ONCE = "waits once"
WAITS_20_TIMES = "waits 20 times"
FAILS_ONE_PERCENT = "fails 1 %"
READS_AND_WAITS = "reads JSON, waits 5 ms"

HANDLERS: dict[str, Callable[[], Handler]] = {
    NEVER_WAITS: never_waits,
    WAITS_ONCE: waits_once,
    WAITS_20_TIMES: waits_20_times,
    FAILS_ONE_PERCENT: fails_one_percent,
}
