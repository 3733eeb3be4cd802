"""The drop-in beside what it replaces: the same code but for the import, in the same run."""

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.batches import Event, context, fifo_event, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import POWERTOOLS, check_reply
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.fresh import BEFORE, sample
from benchmarks.handlers import never_waits, waits_once
from benchmarks.rounds import interleave

OURS = "asyncbatch.powertools"
OURS_WITH_THEIR_RECORDS = "the same, Powertools loaded"
MODULES = {OURS: "asyncbatch.powertools", POWERTOOLS: "aws_lambda_powertools.utilities.batch"}
THEIR_RECORDS = "aws_lambda_powertools.utilities.data_classes.sqs_event"

# A plain function needs no loop; from 3.12 on tasks can start eagerly.
TARGETS = {
    ("async, never waits", 10): 1.0,
    ("async, never waits", 1_000): 0.5,
    ("async, waits once", 10): 1.0,
    ("async, waits once", 1_000): 0.9,
}
TARGET_WITHOUT_LOOP = 1.0
TARGET_OF_IMPORT = 1.0

Call = Callable[[Event], Any]


def _alone(call: Call) -> Call:
    """Call as in a program that has not loaded Powertools: handlers get records of our own."""

    def alone(event: Event) -> Any:
        hidden = sys.modules.pop(THEIR_RECORDS)
        try:
            return call(event)
        finally:
            sys.modules[THEIR_RECORDS] = hidden

    return alone


def plain(record: Any) -> None: ...


def _in_order(library: Any, processor: Any) -> Call:
    lambda_context = context()
    return lambda event: library.process_partial_response(event, plain, processor, lambda_context)


def _side_by_side(library: Any, handler: Any) -> Call:
    lambda_context = context()
    processor = library.AsyncBatchProcessor(event_type=library.EventType.SQS)
    return lambda event: library.async_process_partial_response(event, handler, processor, lambda_context)


KINDS: dict[str, Callable[[Any], Call]] = {
    "plain functions": lambda library: _in_order(library, library.BatchProcessor(library.EventType.SQS)),
    "FIFO": lambda library: _in_order(library, library.SqsFifoPartialProcessor()),
    "FIFO, groups": lambda library: _in_order(library, library.SqsFifoPartialProcessor(None, True)),  # noqa: FBT003 - the peer's signature
    "async, never waits": lambda library: _side_by_side(library, never_waits()),
    "async, waits once": lambda library: _side_by_side(library, waits_once()),
}


def target(kind: str, size: int) -> float | None:
    """Return what the quotient may be at most on this interpreter."""
    if not kind.startswith("async"):
        return TARGET_WITHOUT_LOOP
    return TARGETS.get((kind, size)) if sys.version_info >= (3, 12) else None


def cases(effort: Effort) -> Iterator[Case]:
    for size in effort.few_sizes:
        for kind in KINDS:
            yield Case(f"{kind}, {size:,} records", partial(_measure, kind, size, effort))
    for place in BEFORE:
        yield Case(f"import, {place}", partial(_import, place, effort))


def _measure(kind: str, size: int, effort: Effort) -> Iterator[Figure]:
    libraries = {name: importlib.import_module(module) for name, module in MODULES.items()}
    importlib.import_module(THEIR_RECORDS)
    event = (fifo_event if kind.startswith("FIFO") else queue_event)(size)
    make = KINDS[kind]
    calls = {
        OURS: _alone(make(libraries[OURS])),
        OURS_WITH_THEIR_RECORDS: make(libraries[OURS]),
        POWERTOOLS: make(libraries[POWERTOOLS]),
    }
    for name, call in calls.items():
        check_reply(name, call(event))
    targets = {OURS: target(kind, size), OURS_WITH_THEIR_RECORDS: target(kind, size)}
    samples = interleave(
        {name: partial(call, event) for name, call in calls.items()},
        rounds=effort.rounds_for(size),
    )
    conditions = Conditions(case=f"{kind}, {size:,} records", records=size, handler=kind, per=size)
    yield from ratios(samples, POWERTOOLS, targets, conditions)


def _import(place: str, effort: Effort) -> Iterator[Figure]:
    samples = sample(
        {name: f"import {module}" for name, module in MODULES.items()}, BEFORE[place], effort.processes
    )
    yield from ratios(samples, POWERTOOLS, {OURS: TARGET_OF_IMPORT}, Conditions(case=f"import, {place}"))


SECTION = Section(
    title="asyncbatch.powertools, whole call and import, ratio to Powertools",
    text=(
        "The drop-in with the same code but for the import. It is timed twice: as in a program that has not "
        "loaded Powertools' data classes, and as in one that has, whose handlers get those."
    ),
    cases=cases,
)
