"""What a cold start pays: the import and the first small batch, in fresh processes."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping

from benchmarks.batches import queue_event
from benchmarks.effort import Effort
from benchmarks.figures import Figure
from benchmarks.rounds import Samples, ratio

SECTION = "Import and first batch of 10, ratio to `import asyncio` and a bare loop's first run"
TARGET = 1.25
BASE = "asyncio, bare loop"

# What the interpreter has loaded before the clock starts. Lambda's runtime client is there first.
BEFORE = {"bare interpreter": "", "after awslambdaric.bootstrap": "import awslambdaric.bootstrap"}

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

# Loaded when the feature that needs them is used, and not before.
LATE = {"aiobotocore", "anyio", "botocore", "click", "pydantic", "rich"}

FRAME = """
import json, sys, time
event = json.load(sys.stdin)
{before}
start = time.perf_counter()
{program}
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted(set(sys.modules) & {late})]))
"""


def measure(effort: Effort) -> Iterator[Figure]:
    """Measure every program in fresh processes."""
    with tempfile.TemporaryDirectory() as cache:
        for place, before in BEFORE.items():
            samples = sample(PROGRAMS, before, cache, effort)
            for name in ("asyncbatch", "Powertools"):
                yield Figure(
                    section=SECTION,
                    case=place,
                    subject=name,
                    value=ratio(samples, name, BASE),
                    target=TARGET if name == "asyncbatch" else None,
                    absolute=min(samples[name]) * 1e6,
                )


def sample(programs: Mapping[str, str], before: str, cache: str, effort: Effort) -> Samples:
    """Time programs in fresh processes, one after another in every round.

    Args:
        programs: The code that is timed, by name.
        before: Code that has run before the clock starts.
        cache: A folder for bytecode.
        effort: How many rounds.
    """
    if effort.processes > 1:
        _round(programs, before, cache)  # only fills the caches
    rounds = [_round(programs, before, cache) for _ in range(effort.processes)]
    return {name: [each[name] for each in rounds] for name in programs}


def _round(programs: Mapping[str, str], before: str, cache: str) -> dict[str, float]:
    taken: dict[str, float] = {}
    for name, program in programs.items():
        taken[name], loaded = _in_fresh_process(before, program, cache)
        if name.startswith("asyncbatch") and not before and loaded:
            raise AssertionError(f"{name} loads {loaded} without need")
    return taken


def _in_fresh_process(before: str, program: str, cache: str) -> tuple[float, list[str]]:
    environment = os.environ | {"LAMBDA_TASK_ROOT": "/var/task", "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", FRAME.format(before=before, program=program, late=LATE)],
        input=json.dumps(queue_event(10)),
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, loaded = json.loads(done.stdout)
    return seconds, loaded
