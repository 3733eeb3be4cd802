"""What a cold start pays: the import and the first small batch, in fresh processes."""

from collections.abc import Iterator
from functools import partial

from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.fresh import BEFORE, sample

TARGET = 1.25
BASE = "asyncio, bare loop"

PROGRAMS = {
    "asyncbatch": """
from asyncbatch import batch_handler
@batch_handler
async def handler(record): pass
assert handler(event, None) == {"batchItemFailures": []}
""",
    BASE: """
import asyncio
async def handler(): pass
asyncio.new_event_loop().run_until_complete(handler())
""",
    "Powertools": """
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor, EventType, async_process_partial_response)
async def handler(record): pass
assert async_process_partial_response(
    event, handler, AsyncBatchProcessor(EventType.SQS)) == {"batchItemFailures": []}
""",
}


def cases(effort: Effort) -> Iterator[Case]:
    for place in BEFORE:
        yield Case(place, partial(_measure, place, effort))


def _measure(place: str, effort: Effort) -> Iterator[Figure]:
    samples = sample(PROGRAMS, BEFORE[place], effort.processes)
    yield from ratios(samples, BASE, {"asyncbatch": TARGET}, Conditions(case=place))


SECTION = Section(
    title="Import and first batch of 10, ratio to “import asyncio” and a bare loop's first run",
    text=(
        "Fresh processes with a warm page cache and bytecode: real cold starts take longer, in about the same "
        "proportion. Lambda's runtime client has loaded a good part of the standard library before the function."
    ),
    cases=cases,
    in_lots=False,
)
