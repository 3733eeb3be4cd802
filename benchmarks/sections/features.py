"""What a record timeout, an adaptive limit and hooks add to a record, beside what `asyncio.timeout` adds."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

from asyncbatch import BatchEngine, BatchHandler
from asyncbatch.limits import AdaptiveLimit, RateLimit
from benchmarks.batches import context, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import Call, check_reply
from benchmarks.figures import Figure
from benchmarks.handlers import HANDLERS, NEVER_WAITS, WAITS_ONCE, Handler
from benchmarks.rounds import Samples, interleave

PLAIN = "plain"
PEER = "asyncio.timeout"
SECONDS = 60.0
SAMPLE_SECONDS = 0.02  # differences need longer samples than quotients

HELD = "adaptive, held at 100"
TARGETS = {"record timeout": 0.35, "adaptive limit": None, HELD: 0.35, "rate limit": None, "a hook": None}


def never_waits_within_timeout() -> Handler:
    async def handler(record: Any) -> None:
        async with asyncio.timeout(SECONDS):  # noqa: ASYNC100 - its cost is the subject
            pass

    return handler


def waits_once_within_timeout() -> Handler:
    async def handler(record: Any) -> None:
        async with asyncio.timeout(SECONDS):
            await asyncio.sleep(0)

    return handler


WITHIN_TIMEOUT = {NEVER_WAITS: never_waits_within_timeout, WAITS_ONCE: waits_once_within_timeout}


def engines() -> dict[str, BatchEngine]:
    """Return an engine for every feature, and one without any."""
    return {
        PLAIN: BatchEngine(),
        "record timeout": BatchEngine(record_timeout=SECONDS),
        "adaptive limit": BatchEngine(concurrency=AdaptiveLimit()),
        HELD: BatchEngine(concurrency=AdaptiveLimit(100, minimum=100, maximum=100)),
        "rate limit": BatchEngine(rate_limit=RateLimit(1e9)),
        "a hook": BatchEngine(hooks=[lambda _event: None]),
    }


def cases(effort: Effort) -> Iterator[Case]:
    for handler in WITHIN_TIMEOUT:
        size = max(effort.few_sizes)
        yield Case(f"{handler}, {size:,} records", partial(_measure, handler, size, effort))


def _measure(handler: str, size: int, effort: Effort) -> Iterator[Figure]:
    event, lambda_context = queue_event(size), context()
    calls: dict[str, Call] = {
        name: BatchHandler(HANDLERS[handler](), engine) for name, engine in engines().items()
    }
    calls[PEER] = BatchHandler(WITHIN_TIMEOUT[handler](), BatchEngine())
    for name, call in calls.items():
        check_reply(name, call(event, lambda_context))
    samples = interleave(
        {name: partial(call, event, lambda_context) for name, call in calls.items()},
        rounds=effort.rounds,
        seconds=SAMPLE_SECONDS if effort.rounds > 1 else 0,
    )
    for name, target in TARGETS.items():
        yield Figure(
            case=f"{handler}, {size:,} records",
            subject=name,
            samples=extra_cost(samples, name),
            base="the extra cost of asyncio.timeout",
            target=target,
            handler=handler,
            absolute=(min(samples[name]) - min(samples[PLAIN])) * 1e6 / size,
        )


def extra_cost(samples: Samples, name: str) -> tuple[float, ...]:
    """Return what a feature adds to a call, divided by what `asyncio.timeout` adds, in every round."""
    rounds = zip(samples[name], samples[PLAIN], samples[PEER], strict=True)
    return tuple((ours - plain) / (theirs - plain) for ours, plain, theirs in rounds)


SECTION = Section(
    title="What a feature adds to the call, divided by what asyncio.timeout around the handler's body adds",
    text=(
        "The extra cost of asyncbatch with the feature over asyncbatch without it, beside the extra cost of the "
        "same engine with `async with asyncio.timeout(60)` in the handler. The hook does nothing. "
        "An adaptive limit finds that a handler that never really waits gains nothing from company, and keeps few "
        "in flight, so that there are more turns of the loop; held at 100 it shows what its arithmetic costs."
    ),
    cases=cases,
)
