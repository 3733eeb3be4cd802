"""How long a batch with lanes takes beside the least that is possible, in virtual time: the same every time."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from random import Random
from typing import Any

from asyncbatch import BatchEngine
from asyncbatch.testing import run_virtual
from benchmarks.batches import Event, fifo_event, grouped_event, skewed_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import ASYNCBATCH, One, Record, WrongReplyError, a_lock_per_group
from benchmarks.figures import Figure

LIMIT = 50
SECONDS = 0.01
TARGET = 1.0
SEEDS = range(5)
EQUAL, EXPONENTIAL = "every record 10 ms", "10 ms on average"

Durations = Callable[[int], float]
Process = Callable[[Event, Durations], Any]


async def with_asyncbatch(event: Event, durations: Durations) -> None:
    positions = count()

    async def handler(_record: Any) -> None:
        await asyncio.sleep(durations(next(positions)))

    report = await BatchEngine(concurrency=LIMIT).process(event, handler)
    if len(report.succeeded) != len(event["Records"]):
        raise WrongReplyError("asyncbatch: not every record succeeded: not timed")


async def with_locks(event: Event, durations: Durations) -> None:
    await _with_scheme(a_lock_per_group, event, durations)


async def with_a_task_per_group(event: Event, durations: Durations) -> None:
    async def scheme(one: One, records: Sequence[Record], limit: int) -> Sequence[bool]:
        semaphore = asyncio.Semaphore(limit)
        groups: dict[str, list[Record]] = {}
        for record in records:
            groups.setdefault(record["attributes"]["MessageGroupId"], []).append(record)

        async def in_order(group: Sequence[Record]) -> list[bool]:
            done: list[bool] = []
            for record in group:
                async with semaphore:
                    done.append(await one(record))
            return done

        in_groups = await asyncio.gather(*map(in_order, groups.values()))
        return [each for done in in_groups for each in done]

    await _with_scheme(scheme, event, durations)


async def _with_scheme(scheme: Any, event: Event, durations: Durations) -> None:
    positions = count()

    async def one(_record: Record) -> bool:
        await asyncio.sleep(durations(next(positions)))
        return True

    await scheme(one, event["Records"], LIMIT)


PROCESSES: dict[str, Process] = {
    ASYNCBATCH: with_asyncbatch,
    "a lock per group": with_locks,
    "a task per group": with_a_task_per_group,
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
    """Compare with the bound that no order beats: the longest group, or all the work shared by the limit."""
    groups = Counter(record["attributes"]["MessageGroupId"] for record in event["Records"])
    bound = SECONDS * max(*groups.values(), math.ceil(len(event["Records"]) / LIMIT))
    for subject, process in PROCESSES.items():
        seconds = run_virtual(partial(_timed, process, event, lambda _start: SECONDS))
        yield Figure(
            case=f"{name}, {EQUAL}",
            subject=subject,
            samples=(seconds / bound,),
            target=TARGET + 1e-6 if subject == ASYNCBATCH else None,  # sums of floats
        )
    least = SECONDS * max(*groups.values(), len(event["Records"]) / LIMIT)
    for subject, process in PROCESSES.items():
        yield Figure(
            case=f"{name}, {EXPONENTIAL}",
            subject=subject,
            samples=tuple(
                run_virtual(partial(_timed, process, event, partial(_drawn, Random(seed)))) / least  # noqa: S311 - see batches
                for seed in SEEDS
            ),
        )


def _drawn(random: Random, _start: int) -> float:
    return random.expovariate(1 / SECONDS)


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
        "divided by the limit; where durations are drawn (exponential, five seeds) with their mean."
    ),
    cases=cases,
)
