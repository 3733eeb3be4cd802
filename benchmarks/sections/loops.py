"""The same engines on uvloop and on asyncio's own loop."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvloop

from asyncbatch import BatchEngine
from benchmarks.batches import Event, context, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import (
    ASYNCBATCH,
    GATHER_SEMAPHORE,
    POWERTOOLS,
    Call,
    call_of,
    check_reply,
    gather_with_semaphore,
    powertools_call,
)
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.handlers import HANDLERS, NEVER_WAITS, WAITS_ONCE, Handler, waits_5_ms
from benchmarks.rounds import CPU, WALL, interleave

WAITS_5_MS = "waits 5 ms"

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
KINDS: dict[str, Callable[[], Handler]] = {
    NEVER_WAITS: HANDLERS[NEVER_WAITS],
    WAITS_ONCE: HANDLERS[WAITS_ONCE],
    WAITS_5_MS: waits_5_ms,
}


def asyncbatch_on(loop: asyncio.AbstractEventLoop, handler: Handler, limit: int) -> Call:
    """Make a call that processes in a loop of the caller's, as a program with an event loop of its own does."""
    engine = BatchEngine(concurrency=limit)

    def call(event: Event, lambda_context: Any) -> Any:
        return loop.run_until_complete(engine.process(event, handler, lambda_context)).response()

    return call


def powertools_on(loop: asyncio.AbstractEventLoop, handler: Handler, _limit: int) -> Call:
    call = powertools_call(handler)

    def on_loop(event: Event, lambda_context: Any) -> Any:
        asyncio.set_event_loop(loop)  # it takes the loop that is set
        return call(event, lambda_context)

    return on_loop


def semaphore_on(loop: asyncio.AbstractEventLoop, handler: Handler, limit: int) -> Call:
    return call_of(gather_with_semaphore, handler, limit, loop)


ENGINES = {ASYNCBATCH: asyncbatch_on, POWERTOOLS: powertools_on, GATHER_SEMAPHORE: semaphore_on}


def cases(effort: Effort) -> Iterator[Case]:
    for size in effort.few_sizes:
        for kind in KINDS:
            yield Case(f"{kind}, {size:,} records", partial(_measure, kind, size, effort))


def _measure(kind: str, size: int, effort: Effort) -> Iterator[Figure]:
    event, lambda_context = queue_event(size), context()
    loops = {name: make() for name, make in LOOPS.items()}
    calls = {
        f"{engine} on {loop_name}": make(loop, KINDS[kind](), size)
        for engine, make in ENGINES.items()
        for loop_name, loop in loops.items()
    }
    for name, call in calls.items():
        check_reply(name, call(event, lambda_context))
    samples = interleave(
        {name: partial(call, event, lambda_context) for name, call in calls.items()},
        rounds=effort.rounds_for(size),
        clock=WALL if kind == WAITS_5_MS else CPU,
    )
    asyncio.set_event_loop(loops["asyncio"])
    loops["uvloop"].close()
    conditions = Conditions(case=f"{kind}, {size:,} records", records=size, handler=kind, per=size)
    yield from ratios(samples, f"{POWERTOOLS} on asyncio", {}, conditions)


SECTION = Section(
    title="Loops: asyncio's and uvloop, ratio to Powertools on asyncio's loop",
    text=(
        "`await engine.process(...)` inside a loop that the caller made, with a limit as large as the batch. "
        "Nothing here touches a socket, where uvloop is at its best."
    ),
    cases=cases,
)
