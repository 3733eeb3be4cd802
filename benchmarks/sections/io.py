"""Handlers that wait 5 ms: the wall time beside what bare tasks and an unbounded gather need."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

from asyncbatch import BatchEngine, BatchHandler
from benchmarks.batches import context, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import (
    ASYNCBATCH,
    GATHER_SEMAPHORE,
    POWERTOOLS,
    Call,
    One,
    Record,
    call_of,
    check_reply,
    gather,
    gather_with_semaphore,
    powertools_call,
)
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.handlers import waits_5_ms
from benchmarks.rounds import WALL, Samples, interleave

LIMIT = 50
BARE = "50 bare tasks"
TARGET_OF_BARE_TASKS = 1.10
TARGET_OF_POWERTOOLS = 1.05


async def bare_tasks(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
    """Give each of as many tasks as the limit its share of the records: the least that a limit costs."""

    async def share(start: int) -> list[bool]:
        return [await one(record) for record in records[start::limit]]

    shares = await asyncio.gather(*[share(start) for start in range(limit)])
    return [done for each in shares for done in each]


def cases(effort: Effort) -> Iterator[Case]:
    size = 1_000 if effort.rounds > 1 else 100
    yield Case(f"limit {LIMIT}, {size:,} records", partial(_bounded, size, effort))
    yield Case(f"limit = N, {size:,} records", partial(_unbounded, size, effort))


def _bounded(size: int, effort: Effort) -> Iterator[Figure]:
    calls: dict[str, Call] = {
        ASYNCBATCH: BatchHandler(waits_5_ms(), BatchEngine(concurrency=LIMIT)),
        BARE: call_of(bare_tasks, waits_5_ms(), LIMIT),
        GATHER_SEMAPHORE: call_of(gather_with_semaphore, waits_5_ms(), LIMIT),
    }
    samples = _samples(calls, BARE, TARGET_OF_BARE_TASKS, size, effort)
    conditions = Conditions(case=f"limit {LIMIT}, {size:,} records, to bare tasks", records=size)
    yield from ratios(samples, BARE, {ASYNCBATCH: TARGET_OF_BARE_TASKS}, conditions)


def _unbounded(size: int, effort: Effort) -> Iterator[Figure]:
    calls: dict[str, Call] = {
        ASYNCBATCH: BatchHandler(waits_5_ms(), BatchEngine(concurrency=size)),
        POWERTOOLS: powertools_call(waits_5_ms()),
        "gather": call_of(gather, waits_5_ms(), size),
    }
    samples = _samples(calls, POWERTOOLS, TARGET_OF_POWERTOOLS, size, effort)
    conditions = Conditions(case=f"limit = N, {size:,} records, to Powertools", records=size)
    yield from ratios(samples, POWERTOOLS, {ASYNCBATCH: TARGET_OF_POWERTOOLS}, conditions)


def _samples(calls: dict[str, Call], base: str, target: float, size: int, effort: Effort) -> Samples:
    event, lambda_context = queue_event(size), context()
    for name, call in calls.items():
        check_reply(name, call(event, lambda_context))
    return interleave(
        {name: partial(call, event, lambda_context) for name, call in calls.items()},
        rounds=effort.rounds,
        clock=WALL,
    )


SECTION = Section(
    title="Handlers that wait 5 ms, wall time of the whole call",
    text=(
        "With a limit of 50, beside 50 tasks that share the records among them: the least such a limit can take. "
        "With a limit as large as the batch, beside Powertools, which starts everything at once."
    ),
    cases=cases,
    in_lots=False,
)
