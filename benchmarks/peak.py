"""Peak memory of one call beyond what was there before it.

``python -m benchmarks.peak ENGINE HANDLER RECORDS`` prints it in MiB; the section on memory starts one
for each case.
"""

import gc
import sys
import tracemalloc

from benchmarks.batches import context, queue_event
from benchmarks.engines import ENGINES, check_reply, prepare
from benchmarks.handlers import NEVER_WAITS, READS_AND_WAITS, never_waits, reads_and_waits_5_ms

LIMIT = 100
HANDLERS = {NEVER_WAITS: never_waits, READS_AND_WAITS: reads_and_waits_5_ms}


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


if __name__ == "__main__":
    print(peak_mib(sys.argv[1], sys.argv[2], int(sys.argv[3])))
