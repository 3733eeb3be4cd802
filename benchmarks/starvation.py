"""How long handlers that burn CPU and never wait hold up another task of the loop."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from time import perf_counter
from typing import Any

from asyncbatch import BatchEngine
from benchmarks.batches import Event, queue_event
from benchmarks.effort import Effort
from benchmarks.figures import Figure

SECTION = "Longest wait of a heartbeat while 200 handlers burn 1 ms of CPU each"
TARGET = 50.0
RECORDS = 200
BURN = 0.001
LIMIT = 100


async def burns(_record: Any) -> None:
    end = perf_counter() + BURN
    while perf_counter() < end:
        pass


async def with_asyncbatch(event: Event) -> None:
    report = await BatchEngine(concurrency=LIMIT).process(event, burns)
    if len(report.succeeded) != RECORDS:
        raise AssertionError("not every record succeeded")


async def with_gather(event: Event) -> None:
    semaphore = asyncio.Semaphore(LIMIT)

    async def one(record: Any) -> None:
        async with semaphore:
            await burns(record)

    await asyncio.gather(*[one(record) for record in event["Records"]])


SUBJECTS = {"asyncbatch": with_asyncbatch, "gather + semaphore": with_gather}


def measure(effort: Effort) -> Iterator[Figure]:
    """Measure the gap several times; the median bears with a machine that is shared."""
    event = queue_event(RECORDS)
    rounds = max(1, effort.rounds // 3)
    gaps: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    for _ in range(rounds):
        for name, process in SUBJECTS.items():
            gaps[name].append(asyncio.run(longest_gap(process, event)))
    for name, each in gaps.items():
        yield Figure(
            section=SECTION,
            case=f"median of {rounds}",
            subject=name,
            value=statistics.median(each) * 1_000,
            unit="ms",
            target=TARGET if name == "asyncbatch" else None,
        )


async def longest_gap(process: Callable[[Event], Awaitable[None]], event: Event) -> float:
    """Return the longest time between two beats, in seconds."""
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(perf_counter())
            await asyncio.sleep(0)

    heart = asyncio.create_task(beat())
    await asyncio.sleep(0)
    await process(event)
    beats.append(perf_counter())
    heart.cancel()
    return max(after - before for before, after in pairwise(beats))
