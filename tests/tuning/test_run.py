"""The figures of one run, where they can be known by hand."""

import asyncio

import numpy as np
import pytest

from asyncbatch import EventSource, batch_handler, threaded
from asyncbatch.limits import is_overload
from asyncbatch.testing import LambdaContext, SimulatedBackend, VirtualClock, sample_event, sqs_fifo_event
from asyncbatch.tuning._run import Tally, measure
from asyncbatch.tuning._spared import spared


def run(handler, size=10, *, event=None, timeout=900.0, notes=None):
    with VirtualClock() as clock:
        context = LambdaContext(timeout, clock=clock.time)
        return measure(handler, event or sample_event(EventSource.SQS, size), context, is_overload, notes)


@batch_handler(concurrency=4)
async def tenth(record):
    await asyncio.sleep(0.1)


def test_equal_records_give_the_throughput_of_the_limit():
    figures = run(tenth, 40)
    assert figures.throughput == pytest.approx(40)
    assert figures.in_flight == pytest.approx(4)
    assert figures.peak == 4
    assert figures.duration == pytest.approx(1.0)
    assert figures.tail == pytest.approx(0.1)
    assert figures.latencies == pytest.approx(np.full(40, 0.1))
    assert figures.tally == Tally(succeeded=40)


def test_a_batch_that_starts_at_once_has_the_throughput_of_the_whole():
    assert run(tenth, 4).throughput == pytest.approx(40)


def test_the_end_of_the_batch_does_not_lower_throughput():
    @batch_handler(concurrency=2)
    async def last_is_slow(record):
        await asyncio.sleep(10 if record.json()["order"] == "o-39" else 0.1)

    figures = run(last_is_slow, 40)
    assert figures.throughput == pytest.approx(20, rel=0.06)
    assert figures.tail == pytest.approx(10)


def test_what_is_refused_quickly_is_no_throughput():
    backend = SimulatedBackend(servers=2, service_time=0.1, distribution="fixed", queue_limit=0)

    @batch_handler(concurrency=20)
    async def handler(record):
        await backend.call()

    figures = run(handler, 400)
    assert figures.tally.drops > 300
    assert figures.throughput <= 20
    assert len(figures.latencies) == figures.tally.succeeded


def test_every_way_to_fail_is_counted_as_what_it_is():
    @batch_handler(concurrency=5, record_timeout=1.0)
    async def handler(record):
        match record.json()["order"]:
            case "o-0":
                raise ValueError("an error of its own")
            case "o-1":
                raise TimeoutError
            case "o-2":
                await asyncio.sleep(5)
            case "o-3":
                return asyncio.sleep(0)  # a forgotten await
        return None

    figures = run(handler, 6)
    assert figures.tally == Tally(succeeded=2, errors=2, drops=1, timeouts=1)
    assert figures.first_error == "ValueError: an error of its own"


def test_what_the_deadline_cuts_off_is_unfinished():
    @batch_handler(concurrency=2)
    async def handler(record):
        await asyncio.sleep(100)

    assert run(handler, 5, timeout=10.0).tally == Tally(unfinished=5)


def test_what_a_failure_holds_back_was_not_tried():
    @batch_handler
    async def handler(record):
        raise ValueError

    event = sqs_fifo_event([1, 2, 3, 4], groups=["a", "a", "a", "b"])
    figures = run(handler, event=event)
    assert figures.tally == Tally(errors=2, held_back=2)
    assert figures.tally.tried == 2
    assert figures.throughput == 0


def test_handlers_that_take_no_time_are_in_flight_alone():
    @batch_handler
    async def handler(record):
        return

    figures = run(handler)
    assert (figures.throughput, figures.peak) == (0, 1)


class TestSpared:
    """Errors that are noted instead of raised hold nothing back, and count all the same."""

    @staticmethod
    async def failing(record):
        if record.json() == 1:
            raise ValueError("one bad record")

    @staticmethod
    def failing_in_a_thread(record):
        if record.json() == 1:
            raise ValueError("one bad record")

    @pytest.mark.parametrize("kind", ["async", "thread"])
    def test_the_lane_goes_on(self, kind):
        function = self.failing if kind == "async" else threaded(self.failing_in_a_thread)
        handler, notes = batch_handler(function), {}
        event = sqs_fifo_event([1, 2, 3, 4], groups=["a"] * 4)
        saved = spared(handler, is_overload, notes)
        figures = measure(saved, event, LambdaContext(), is_overload, notes)  # threads live in real time
        assert figures.tally == Tally(succeeded=3, errors=1)
        assert figures.first_error == "ValueError: one bad record"
        assert len(figures.latencies) == 3

    def test_what_says_too_much_is_raised(self):
        @batch_handler
        async def handler(record):
            raise TimeoutError

        event = sqs_fifo_event([1, 2], groups=["a", "a"])
        figures = run(spared(handler, is_overload, {}), event=event)
        assert figures.tally == Tally(drops=1, held_back=1)

    def test_what_is_injected_is_still_injected(self):
        seen = []

        @batch_handler
        async def handler(record, lambda_context):
            seen.append(lambda_context.function_name)

        run(spared(handler, is_overload, {}), 1)
        assert seen == ["test"]


def test_tallies_add_up():
    assert Tally(succeeded=1, drops=2) + Tally(succeeded=3, held_back=4) == Tally(
        succeeded=4, drops=2, held_back=4
    )
