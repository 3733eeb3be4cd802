"""The drop-in beside what it replaces: the same code but for the import, in the same run."""

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.batches import Event, context, fifo_event, never_waits, queue_event, waits_once
from benchmarks.effort import Effort
from benchmarks.figures import Figure
from benchmarks.imports import BEFORE, sample
from benchmarks.rounds import interleave, ratio

SECTION = "asyncbatch.powertools, whole call, ratio to Powertools (median of per-round quotients)"
IMPORTS = "Import of asyncbatch.powertools, ratio to Powertools' import"

OURS = "asyncbatch.powertools"
OURS_WITH_THEIR_RECORDS = "the same, Powertools loaded"
THEIRS = "Powertools"
MODULES = {OURS: "asyncbatch.powertools", THEIRS: "aws_lambda_powertools.utilities.batch"}
THEIR_RECORDS = "aws_lambda_powertools.utilities.data_classes.sqs_event"

# A plain function needs no loop; from 3.12 on tasks can start eagerly.
TARGETS = {
    ("async, never waits", 10): 1.0,
    ("async, never waits", 1_000): 0.5,
    ("async, waits once", 10): 1.0,
    ("async, waits once", 1_000): 0.9,
}
TARGET_WITHOUT_LOOP = 1.0


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


def measure(effort: Effort) -> Iterator[Figure]:
    """Measure every kind of processing, then the imports in fresh processes."""
    libraries = {name: importlib.import_module(module) for name, module in MODULES.items()}
    for size in effort.sizes:
        for kind, make in KINDS.items():
            event = (fifo_event if kind.startswith("FIFO") else queue_event)(size)
            calls = {
                OURS: _alone(make(libraries[OURS])),
                OURS_WITH_THEIR_RECORDS: make(libraries[OURS]),
                THEIRS: make(libraries[THEIRS]),
            }
            yield from _figures(kind, size, event, calls, effort.rounds_for(size))
    yield from _imports(effort)


def _figures(kind: str, size: int, event: Event, calls: dict[str, Call], rounds: int) -> Iterator[Figure]:
    for name, call in calls.items():
        if call(event) != {"batchItemFailures": []}:
            raise AssertionError(f"{name}: a record failed")
    samples = interleave({name: partial(call, event) for name, call in calls.items()}, rounds=rounds)
    for name in calls:
        yield Figure(
            section=SECTION,
            case=f"{kind}, {size:,} records",
            subject=name,
            value=ratio(samples, name, THEIRS),
            target=None if name == THEIRS else target(kind, size),
            absolute=min(samples[name]) * 1e6 / size,
        )


def _imports(effort: Effort) -> Iterator[Figure]:
    programs = {name: f"import {module}" for name, module in MODULES.items()}
    with tempfile.TemporaryDirectory() as cache:
        for place, before in BEFORE.items():
            samples = sample(programs, before, cache, effort)
            for name in programs:
                yield Figure(
                    section=IMPORTS,
                    case=place,
                    subject=name,
                    value=ratio(samples, name, THEIRS),
                    target=1.0 if name == OURS else None,
                    absolute=min(samples[name]) * 1e6,
                )
