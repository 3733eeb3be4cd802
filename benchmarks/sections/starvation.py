"""How long handlers that burn CPU and never wait hold up another task of the loop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import pairwise
from time import perf_counter

from asyncbatch import BatchEngine
from benchmarks.batches import Event, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import ASYNCBATCH, GATHER_SEMAPHORE, Record, WrongReplyError, gather_with_semaphore
from benchmarks.figures import Figure
from benchmarks.handlers import burns_1_ms

TARGET = 50.0
RECORDS = 200
LIMIT = 100


async def with_asyncbatch(event: Event) -> None:
    report = await BatchEngine(concurrency=LIMIT).process(event, burns_1_ms())
    if len(report.succeeded) != RECORDS:
        raise WrongReplyError("asyncbatch: not every record succeeded: not timed")


async def with_gather(event: Event) -> None:
    handler = burns_1_ms()

    async def one(record: Record) -> bool:
        await handler(record)
        return True

    await gather_with_semaphore(one, event["Records"], LIMIT)


SUBJECTS = {ASYNCBATCH: with_asyncbatch, GATHER_SEMAPHORE: with_gather}


def cases(effort: Effort) -> Iterator[Case]:
    yield Case("longest gap", partial(_measure, effort))


def _measure(effort: Effort) -> Iterator[Figure]:
    event = queue_event(RECORDS)
    gaps: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    for _ in range(effort.processes):
        for name, process in SUBJECTS.items():
            gaps[name].append(asyncio.run(longest_gap(process, event)) * 1_000)
    for name, each in gaps.items():
        yield Figure(
            case=f"{RECORDS} records",
            subject=name,
            samples=tuple(each),
            unit="ms",
            target=TARGET if name == ASYNCBATCH else None,
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


SECTION = Section(
    title="Longest wait of another task while handlers burn 1 ms of CPU each",
    text="A heartbeat on the same loop: what a timer, a connection or a deadline has to wait in the worst case.",
    cases=cases,
    in_lots=False,
)
