"""The whole call, event in and response out, beside every other engine at equal concurrency."""

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.batches import Event, context, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import ASYNCBATCH, ENGINES, POWERTOOLS, SLOW, Call, check_reply
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.handlers import (
    FAILS_EVERY,
    FAILS_ONE_PERCENT,
    HANDLERS,
    NEVER_WAITS,
    WAITS_20_TIMES,
    WAITS_ONCE,
)
from benchmarks.rounds import interleave

# From 3.12 on tasks can start eagerly.
TARGETS = {
    (NEVER_WAITS, 10): 0.38,
    (NEVER_WAITS, 1_000): 0.30,
    (WAITS_ONCE, 10): 0.72,
    (WAITS_ONCE, 1_000): 0.66,
    (WAITS_20_TIMES, 10): 1.05,
    (WAITS_20_TIMES, 1_000): 1.05,
}
TARGET_WITHOUT_EAGER_TASKS = 0.85


def target(handler: str, size: int) -> float | None:
    """Return what the quotient may be at most on this interpreter."""
    if handler == WAITS_20_TIMES or sys.version_info >= (3, 12):
        return TARGETS.get((handler, size))
    return TARGET_WITHOUT_EAGER_TASKS


def cases(effort: Effort) -> Iterator[Case]:
    """List small batches first: what a large one leaves in asyncio's sets of tasks slows those that follow."""
    for size in effort.sizes:
        for handler in HANDLERS if size in effort.few_sizes else (NEVER_WAITS, WAITS_ONCE):
            yield Case(f"{handler}, {size:,} records", partial(_measure, handler, size, effort))


def _measure(handler: str, size: int, effort: Effort) -> Iterator[Figure]:
    event, lambda_context = queue_event(size), context()
    invocations = max(1, FAILS_EVERY // size)  # so that one record in a hundred fails in every sample
    calls = {
        name: make(HANDLERS[handler](), size)
        for name, make in ENGINES.items()
        if name in {ASYNCBATCH, POWERTOOLS}
        or (effort.peers and (name not in SLOW or size <= effort.slow_up_to))
    }
    for name, call in calls.items():
        _check(name, call, event, handler, invocations)
    targets = {ASYNCBATCH: target(handler, size)}
    samples = interleave(
        {name: partial(call, event, lambda_context) for name, call in calls.items()},
        rounds=effort.rounds_for(size),
        multiple=invocations if handler == FAILS_ONE_PERCENT else 1,
    )
    conditions = Conditions(case=f"{handler}, {size:,} records", records=size, handler=handler, per=size)
    yield from ratios(samples, POWERTOOLS, targets, conditions)


def _check(name: str, call: Call, event: Event, handler: str, invocations: int) -> None:
    ids = [record["messageId"] for record in event["Records"]]
    for invocation in range(invocations):
        before = invocation * len(ids)
        fails = [
            each
            for number, each in enumerate(ids, before + 1)
            if handler == FAILS_ONE_PERCENT and number % FAILS_EVERY == 0
        ]
        check_reply(name, call(event, context()), fails)


SECTION = Section(
    title="Whole call, ratio to Powertools at equal concurrency",
    text=(
        "Event in, partial batch response out, on a loop that is kept, for SQS batches. Every engine has a limit "
        "as large as the batch, because Powertools knows none; “limit 100” is asyncbatch as it comes. "
        "The handlers do nothing else: real ones hide most of these differences. "
        "“Sequential” is the floor: one record after another, without concurrency."
    ),
    cases=cases,
    chart="sizes",
)
