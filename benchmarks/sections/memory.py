"""Peak memory of a call beyond what was there before it, each case in a process of its own.

``python -m benchmarks.sections.memory ENGINE HANDLER RECORDS`` prints one case, in MiB.
"""

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from functools import partial

from benchmarks.batches import context, queue_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import (
    ASYNCBATCH_DEFAULT,
    ENGINES,
    GATHER_SEMAPHORE,
    POWERTOOLS,
    check_reply,
    prepare,
)
from benchmarks.figures import Figure
from benchmarks.handlers import never_waits, reads_and_waits_5_ms

TARGET_MIB = 4.0
TARGET_OF_POWERTOOLS = 0.20
LIMIT = 100
MEASURED = (ASYNCBATCH_DEFAULT, POWERTOOLS, GATHER_SEMAPHORE)
HANDLERS = {"never waits": never_waits, "reads JSON, waits 5 ms": reads_and_waits_5_ms}


def cases(effort: Effort) -> Iterator[Case]:
    for handler in HANDLERS:
        case = f"{handler}, {effort.large:,} records"
        yield Case(case, partial(_measure, case, handler, effort.large))


def _measure(case: str, handler: str, records: int) -> Iterator[Figure]:
    """Measure the peak of asyncbatch and of the peers, the bounded ones at 100 in flight."""
    peaks = {engine: _in_fresh_process(engine, handler, records) for engine in MEASURED}
    for engine, peak in peaks.items():
        yield Figure(
            case=case,
            subject=engine,
            samples=(peak,),
            unit="MiB",
            target=TARGET_MIB if engine == ASYNCBATCH_DEFAULT else None,
            records=records,
            handler=handler,
        )
    yield Figure(
        case=f"{case}, to Powertools",
        subject=ASYNCBATCH_DEFAULT,
        samples=(peaks[ASYNCBATCH_DEFAULT] / peaks[POWERTOOLS],),
        target=TARGET_OF_POWERTOOLS,
        records=records,
        handler=handler,
    )


def _in_fresh_process(engine: str, handler: str, records: int) -> float:
    command = [sys.executable, "-m", "benchmarks.sections.memory", engine, handler, str(records)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def peak_mib(engine: str, handler: str, records: int) -> float:
    """Return the peak in MiB."""
    prepare()
    call = ENGINES[engine](HANDLERS[handler](), LIMIT)
    event, lambda_context = queue_event(records, padding=1_000), context()
    call(queue_event(100, padding=1_000), lambda_context)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    reply = call(event, lambda_context)
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check_reply(engine, reply)
    return (highest - before) / 2**20


SECTION = Section(
    title="Peak memory of a call beyond the event, records of 1 KB",
    text=(
        "Traced by tracemalloc, a process per case. asyncbatch as it comes and the semaphore hold 100 records in "
        "flight, Powertools knows no limit."
    ),
    cases=cases,
)

if __name__ == "__main__":
    print(peak_mib(sys.argv[1], sys.argv[2], int(sys.argv[3])))
