"""Peak memory of a call beyond what was there before it, each case in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import ASYNCBATCH_DEFAULT, GATHER_SEMAPHORE, POWERTOOLS
from benchmarks.figures import Figure
from benchmarks.peak import HANDLERS

TARGET_MIB = 4.0
TARGET_OF_POWERTOOLS = 0.20
MEASURED = (ASYNCBATCH_DEFAULT, POWERTOOLS, GATHER_SEMAPHORE)


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
        base=POWERTOOLS,
        target=TARGET_OF_POWERTOOLS,
        records=records,
        handler=handler,
    )


def _in_fresh_process(engine: str, handler: str, records: int) -> float:
    command = [sys.executable, "-m", "benchmarks.peak", engine, handler, str(records)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


SECTION = Section(
    title="Peak memory of a call beyond the event, records of 1 KB",
    text=(
        "Traced by tracemalloc, a process per case. asyncbatch as it comes and the semaphore hold 100 records in "
        "flight, Powertools knows no limit."
    ),
    cases=cases,
    in_lots=False,
)
