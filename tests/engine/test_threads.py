"""`threaded`: plain functions in worker threads."""

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

from asyncbatch import BatchEngine, FailureReason, InvalidHandlerError, threaded
from asyncbatch.testing import LambdaContext, sqs_event

variable = ContextVar("variable", default=None)


def event(size):
    return sqs_event([str(number) for number in range(size)])


def test_runs_in_worker_threads_as_many_as_the_limit():
    """More than anyio's own 40."""
    meeting = threading.Barrier(50)

    @threaded
    def handler(record):
        meeting.wait(10)

    assert BatchEngine(concurrency=50).run(event(50), handler).all_succeeded


def test_the_limit_follows_the_engine():
    at_work, peaks = [], []

    @threaded
    def handler(record):
        at_work.append(record.id)
        peaks.append(len(at_work))
        time.sleep(0.005)
        at_work.remove(record.id)

    for limit in (2, 5, 3):
        peaks.clear()
        assert BatchEngine(concurrency=limit).run(event(12), handler).all_succeeded
        assert max(peaks) <= limit


def test_the_same_function_works_in_several_loops():
    @threaded
    def handler(record):
        return record.text

    for _ in range(2):
        report = asyncio.run(BatchEngine().process(event(3), handler))
        assert report.all_succeeded


def test_context_variables_are_carried_into_the_thread():
    seen = []

    @threaded
    def handler(record):
        seen.append(variable.get())
        variable.set("a handler's")

    token = variable.set("the caller's")
    try:
        assert BatchEngine(concurrency=1).run(event(3), handler).all_succeeded
    finally:
        variable.reset(token)
    assert seen == ["the caller's"] * 3


def test_injected_arguments_reach_the_function():
    seen = []

    @threaded
    def handler(record, lambda_context):
        seen.append(lambda_context)

    context = LambdaContext()
    BatchEngine().run(event(1), handler, context)
    assert seen == [context]


def test_a_record_timeout_counts_from_the_threads_start():
    """The loop is held between the record's start and its thread's for longer than the record may take."""

    @threaded
    def handler(record):
        pass

    async def main():
        call = asyncio.create_task(BatchEngine(record_timeout=0.5).process(event(2), handler))
        asyncio.get_running_loop().call_soon(time.sleep, 0.6)
        return await call

    assert asyncio.run(main()).all_succeeded


def test_a_thread_that_takes_too_long_is_timed_out_and_named():
    released = threading.Event()

    @threaded
    def handler(record):
        if record.text == "1":
            released.wait(10)

    report = BatchEngine(record_timeout=0.05).run(event(3), handler)
    assert [outcome.position for outcome in report.succeeded] == [0, 2]
    assert report.outcomes[1].reason is FailureReason.TIMED_OUT
    assert report.still_running == (report.outcomes[1].id,)
    released.set()
    assert BatchEngine(record_timeout=0.05).run(event(3), handler).all_succeeded


def test_a_thread_does_not_delay_the_reply_and_is_named():
    released = threading.Event()

    @threaded
    def handler(record):
        if record.text == "1":
            released.wait(10)

    engine = BatchEngine(deadline_margin=0.4, grace=0.02)
    report = engine.run(event(3), handler, LambdaContext(0.6))
    assert report.duration < 0.6
    assert report.outcomes[1].reason is FailureReason.DEADLINE
    assert report.still_running == (report.outcomes[1].id,)
    released.set()


def test_threads_that_ended_are_not_named():
    @threaded
    def handler(record):
        raise ValueError

    report = BatchEngine().run(event(2), handler)
    assert {outcome.reason for outcome in report.outcomes} == {FailureReason.RAISED}
    assert report.still_running == ()


async def coroutine_function(record):
    pass


def generator_function(record):
    yield


async def async_generator_function(record):
    yield


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (42, "not callable"),
        (coroutine_function, "async already"),
        (generator_function, "generator function"),
        (async_generator_function, "generator function"),
    ],
)
def test_what_cannot_run_in_a_thread_is_refused(function, text):
    with pytest.raises(InvalidHandlerError, match=text):
        threaded(function)


def test_it_can_be_called_by_hand_and_named():
    @threaded
    def double(number):
        return number * 2

    assert asyncio.run(double(21)) == 42
    assert "double" in repr(double)
    assert double.__name__ == "double"
