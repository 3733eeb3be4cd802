"""Work that grows with the batch: four times the records take about four times the steps, not sixteen times."""

import asyncio
import sys

from asyncbatch import BatchEngine, FailureScope, _lanes
from asyncbatch.testing import kinesis_event, run_virtual


class Lines:
    """Counts the lines of one module that are run.

    Args:
        module: The module.
    """

    def __init__(self, module):
        self.file = module.__file__
        self.count = 0
        self.before = None

    def __enter__(self):
        self.before = sys.gettrace()  # coverage's, which goes on afterwards
        sys.settrace(self._at_call)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def _at_call(self, frame, event, arg):
        return self._at_line if frame.f_code.co_filename == self.file else None

    def _at_line(self, frame, event, arg):
        self.count += event == "line"
        return self._at_line


def lines_of_a_run(module, engine, event, handler):
    with Lines(module) as lines:
        report = run_virtual(lambda: engine.process(event, handler))
    return lines.count, report


def failures_in_descending_order(size):
    """A stream's batch, half of it in flight, in which the last record in flight fails first."""

    async def handler(record):
        await asyncio.sleep(1 - int(record.text) / size)
        raise ValueError

    keys = [f"key {number}" for number in range(size - 1)]
    event = kinesis_event([str(number) for number in range(size)], keys=[*keys, keys[0]])
    engine = BatchEngine(concurrency=size // 2, failure_scope=FailureScope.BATCH)
    lines, report = lines_of_a_run(_lanes, engine, event, handler)
    assert report.counts.failed == size // 2
    assert report.counts.skipped == size - size // 2
    return lines


def test_the_steps_of_failures_under_batch_scope_grow_with_the_batch_and_not_with_its_square():
    assert failures_in_descending_order(800) < 5 * failures_in_descending_order(200)
