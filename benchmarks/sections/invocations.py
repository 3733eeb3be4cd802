"""Whole invocations under AWS's own runtime client, against a Runtime API on this machine."""

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter

from asyncbatch.testing._runtime_process import RuntimeProcess
from benchmarks.batches import Event, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import ASYNCBATCH, POWERTOOLS, check_reply
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.rounds import Samples

NOTHING = "a function that does nothing"
WITHIN_A_ROUND = 20
SMALL = 100

FUNCTIONS = {
    ASYNCBATCH: """
from asyncbatch import batch_handler
@batch_handler
async def lambda_handler(record): pass
""",
    POWERTOOLS: """
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor, EventType, async_process_partial_response)
processor = AsyncBatchProcessor(EventType.SQS)
async def handler(record): pass
def lambda_handler(event, context):
    return async_process_partial_response(event, handler, processor, context)
""",
    NOTHING: """
def lambda_handler(event, context):
    return {"batchItemFailures": []}
""",
}


def cases(effort: Effort) -> Iterator[Case]:
    for size in effort.few_sizes:
        yield Case(f"warm, {size:,} records", partial(_warm, size, effort))
    yield Case("cold", partial(_cold, effort))


def _warm(size: int, effort: Effort) -> Iterator[Figure]:
    """Invoke three functions in turn, each of which stays alive."""
    event = queue_event(size)
    repeats = WITHIN_A_ROUND if effort.rounds > 1 and size <= SMALL else 3
    with contextlib.ExitStack() as exits:
        folder = _functions(exits)
        functions = {name: exits.enter_context(_runtime(name, folder)) for name in FUNCTIONS}
        for name, function in functions.items():
            _seconds(name, function, event)
        samples: Samples = {name: [] for name in FUNCTIONS}
        for _ in range(effort.rounds):
            for name, function in functions.items():
                samples[name].append(min(_seconds(name, function, event) for _ in range(repeats)))
    yield from ratios(samples, POWERTOOLS, {}, Conditions(case=f"warm, {size:,} records", records=size))


def _cold(effort: Effort) -> Iterator[Figure]:
    """Start a process for every function, and wait for its first reply."""
    event = queue_event(10)
    samples: Samples = {name: [] for name in FUNCTIONS}
    with contextlib.ExitStack() as exits:
        folder = _functions(exits)
        for number in range(effort.processes + 1):
            for name in FUNCTIONS:
                start = perf_counter()
                with _runtime(name, folder) as function:
                    _seconds(name, function, event)
                    if number:  # the first only fills the bytecode cache
                        samples[name].append(perf_counter() - start)
    yield from ratios(
        samples, POWERTOOLS, {}, Conditions(case="cold: process start to first reply, 10 records")
    )


def _functions(exits: contextlib.ExitStack) -> Path:
    folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
    for number, source in enumerate(FUNCTIONS.values()):
        (folder / f"function_{number}.py").write_text(source)
    return folder


def _runtime(name: str, folder: Path) -> RuntimeProcess:
    number = list(FUNCTIONS).index(name)
    environment = {"POWERTOOLS_TRACE_DISABLED": "true"}
    return RuntimeProcess(f"function_{number}.lambda_handler", path=folder, environment=environment)


def _seconds(name: str, function: RuntimeProcess, event: Event) -> float:
    """Invoke once; return the seconds from the event's delivery to the reply."""
    result = function.invoke(event, timeout=30)
    check_reply(name, result.payload)
    return result.duration


SECTION = Section(
    title="Whole invocations under awslambdaric, ratio to Powertools",
    text=(
        "AWS's runtime client in a process of its own takes an event from a Runtime API on 127.0.0.1, decodes it, "
        "calls the function, whose handler never waits, and posts the reply: what Lambda bills, without Lambda's "
        "machine. The function that does nothing shows how much of it is not the batch library's."
    ),
    cases=cases,
    in_lots=False,
)
