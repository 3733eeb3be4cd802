"""Peak memory of a call beyond what was there before it, each case in a process of its own.

``python -m benchmarks.memory SUBJECT HANDLER RECORDS`` prints one case, in MiB.
"""

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

from benchmarks.batches import Handler, context, never_waits, queue_event
from benchmarks.effort import Effort
from benchmarks.figures import Figure
from benchmarks.subjects import ASYNCBATCH_DEFAULT, POWERTOOLS, SUBJECTS, prepare

SECTION = "Peak extra memory, records of 1 KB (tracemalloc)"
TARGET = 4.0
LIMIT = 100


def reads_and_waits() -> Handler:
    """Make a handler that decodes the body, as most do, and waits 5 ms."""

    async def handler(record: Any) -> None:
        _ = json.loads(record["body"]) if isinstance(record, dict) else record.json_body
        await asyncio.sleep(0.005)

    return handler


HANDLERS = {"never waits": never_waits, "reads JSON, waits 5 ms": reads_and_waits}


def measure(effort: Effort) -> Iterator[Figure]:
    """Measure the peak of asyncbatch and of the peers, the bounded ones at 100 in flight."""
    for handler in HANDLERS:
        for subject in (ASYNCBATCH_DEFAULT, POWERTOOLS, "gather + semaphore"):
            yield Figure(
                section=SECTION,
                case=f"{handler}, {effort.large:,} records",
                subject=subject,
                value=_in_fresh_process(subject, handler, effort.large),
                unit="MiB",
                target=TARGET if subject == ASYNCBATCH_DEFAULT else None,
            )


def _in_fresh_process(subject: str, handler: str, records: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", subject, handler, str(records)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak(subject: str, handler: str, records: int) -> float:
    """Return the peak in MiB."""
    prepare()
    call = SUBJECTS[subject](HANDLERS[handler](), LIMIT)
    event, lambda_context = queue_event(records, padding=1_000), context()
    call(queue_event(100, padding=1_000), lambda_context)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    reply = call(event, lambda_context)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if reply != {"batchItemFailures": []}:
        raise AssertionError(f"{subject}: not every record succeeded")
    return (highest - before) / 2**20


if __name__ == "__main__":
    print(peak(sys.argv[1], sys.argv[2], int(sys.argv[3])))
