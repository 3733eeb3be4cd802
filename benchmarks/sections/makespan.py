"""How long a batch with lanes takes beside the least that is possible, in virtual time: the same every time."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from asyncbatch import BatchEngine
from asyncbatch.testing import run_virtual
from benchmarks.batches import Event, fifo_event, grouped_event, skewed_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import ASYNCBATCH, One, Record, Scheme, WrongReplyError, a_lock_per_group
from benchmarks.figures import Figure

LIMIT = 50
SECONDS = 0.01
TARGET = 1 + 1e-6  # sums of floats
SEEDS = range(5)
EQUAL, EXPONENTIAL = "each 10 ms", "10 ms on average"

Durations = Mapping[str, float]
"""Seconds that the handler waits, by the record's identifier."""
Process = Callable[[Event, Durations], Awaitable[None]]


async def with_asyncbatch(event: Event, durations: Durations) -> None:
    async def handler(record: Any) -> None:
        await asyncio.sleep(durations[record.id])

    report = await BatchEngine(concurrency=LIMIT).process(event, handler)
    if len(report.succeeded) != len(event["Records"]):
        raise WrongReplyError("asyncbatch: not every record succeeded: not timed")


async def a_task_per_group(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
    semaphore = asyncio.Semaphore(limit)

    async def in_order(group: Sequence[Record]) -> None:
        for record in group:
            async with semaphore:
                await one(record)

    await asyncio.gather(*map(in_order, _groups(records).values()))
    return [True] * len(records)


def with_scheme(scheme: Scheme) -> Process:
    async def process(event: Event, durations: Durations) -> None:
        async def one(record: Record) -> bool:
            await asyncio.sleep(durations[record["messageId"]])
            return True

        await scheme(one, event["Records"], LIMIT)

    return process


PROCESSES: dict[str, Process] = {
    ASYNCBATCH: with_asyncbatch,
    "a lock per group": with_scheme(a_lock_per_group),
    "a task per group": with_scheme(a_task_per_group),
}


def batches(effort: Effort) -> dict[str, Event]:
    """Return batches whose groups are even, uneven, and as uneven as can be."""
    if effort.rounds == 1:
        return {"20 in 5 equal groups": fifo_event(20, 5)}
    return {
        "1,000 in 100 equal groups": fifo_event(1_000, 100),
        "1,000 in 60 equal groups": fifo_event(1_000, 60),
        "1,000 in 100 Zipf groups": skewed_event(1_000, 100),
        "735 singles, then a group of 15": grouped_event([*range(735), *[735] * 15]),
    }


def cases(effort: Effort) -> Iterator[Case]:
    for name, event in batches(effort).items():
        yield Case(name, partial(_measure, name, event))


def _measure(name: str, event: Event) -> Iterator[Figure]:
    ids = [record["messageId"] for record in event["Records"]]
    equal = [dict.fromkeys(ids, SECONDS)]
    drawn = [{each: random.expovariate(1 / SECONDS) for each in ids} for random in map(Random, SEEDS)]
    for kind, workloads in ((EQUAL, equal), (EXPONENTIAL, drawn)):
        for subject, process in PROCESSES.items():
            yield Figure(
                case=f"{name}, {kind}",
                subject=subject,
                samples=tuple(_over_bound(process, event, durations) for durations in workloads),
                base="the least possible",
                target=TARGET if kind == EQUAL and subject == ASYNCBATCH else None,
            )


def _over_bound(process: Process, event: Event, durations: Durations) -> float:
    """Divide by what no order beats: the longest group, or all the work shared by the limit."""
    groups = _groups(event["Records"]).values()
    whole = math.ceil(len(durations) / LIMIT) * min(durations.values())  # equal records cannot be split
    longest = max(sum(durations[record["messageId"]] for record in group) for group in groups)
    bound = max(longest, whole, sum(durations.values()) / LIMIT)
    return run_virtual(partial(_timed, process, event, durations)) / bound


def _groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record["attributes"]["MessageGroupId"], []).append(record)
    return groups


async def _timed(process: Process, event: Event, durations: Durations) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await process(event, durations)
    return loop.time() - start


SECTION = Section(
    title="Lanes: duration of a batch beside the least that any order needs (virtual time)",
    text=(
        "An SQS FIFO batch with a limit of 50 and handlers that wait, on a virtual clock: a property of the order "
        "in which lanes are served, the same in every run. The bound is the longest group, or all the work "
        "divided by the limit. Durations are equal, or drawn (exponential, five seeds): no order that does not "
        "know them can always reach the bound."
    ),
    cases=cases,
    in_lots=False,
)
