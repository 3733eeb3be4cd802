"""D7: a context tells the deadline, and the reply is made before it; finished work stays finished."""

import asyncio
import contextlib
import gc
import time
import types

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext as TheirContext
from libraries import OURS, body_of, event_of, handler_of, names, process, processor_of, reply

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import BatchProcessingError, RecordNotProcessedError
from asyncbatch.testing import LambdaContext

EVENT = event_of("SQS", ["a", "slow b", "c"])
RECORDS = EVENT["Records"]
A, B, C = names(RECORDS)

NOT_FINISHED = "not finished before the deadline"
NOT_STARTED = "not started before the deadline"


async def slow(record):
    await asyncio.sleep(30 if record.body.startswith("slow") else 0)
    return record.body


def timed(call):
    start = time.perf_counter()
    answer = call()
    return answer, time.perf_counter() - start


def test_side_by_side_what_is_unfinished_is_reported_in_time(in_lambda, caplog):
    processor = AsyncBatchProcessor(EventType.SQS)
    answer, seconds = timed(
        lambda: async_process_partial_response(EVENT, slow, processor, LambdaContext(timeout=0.6))
    )
    assert answer == reply(B)
    assert seconds < 0.6
    assert processor.success_messages == [RECORDS[0], RECORDS[2]]
    assert [body_of(each) for each in processor.fail_messages] == ["slow b"]
    ((kind, error, trace),) = processor.exceptions
    assert (kind, str(error), trace) == (RecordNotProcessedError, NOT_FINISHED, None)
    assert "1 of 3 records were not finished before the deadline" in caplog.text
    assert async_process_partial_response(EVENT, slow, processor, LambdaContext(timeout=0.6)) == reply(B)


def test_the_entries_say_so_too():
    processor = AsyncBatchProcessor(EventType.SQS, concurrency=1)
    with processor(RECORDS, slow, LambdaContext(timeout=0.5)):
        entries = processor.async_process()
    assert [entry[0] for entry in entries] == ["success", "fail", "fail"]
    assert entries[1][1].endswith(f"RecordNotProcessedError'>:{NOT_FINISHED}")
    assert entries[2][1].endswith(f"RecordNotProcessedError'>:{NOT_STARTED}")
    assert processor.response() == reply(B, C)


def test_one_after_another_none_is_started_beyond_it(caplog):
    seen = []

    def handler(record):
        seen.append(record.body)
        time.sleep(0.25)

    processor = BatchProcessor(EventType.SQS)
    assert process_partial_response(EVENT, handler, processor, LambdaContext(timeout=0.5)) == reply(B, C)
    assert seen == ["a"]
    assert processor.success_messages == RECORDS[:1], "late, but finished"
    assert [str(error) for _, error, _ in processor.exceptions] == [NOT_STARTED] * 2
    assert "2 of 3 records" in caplog.text


def test_what_was_not_started_for_another_reason_says_so():
    async def stops(record):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(30)

    processor = AsyncBatchProcessor(EventType.SQS, concurrency=1, raise_on_entire_batch_failure=False)
    with processor(RECORDS, stops):
        entries = processor.async_process()
    assert [entry[0] for entry in entries] == ["fail"] * 3
    assert entries[2][1].endswith(":not started: the run was stopped")


def test_none_is_started_beyond_it_behind_a_failure_either():
    event = event_of("SQS", ["bad", "late", "on time?", "held back"], groups=["1", "2", "3", "1"])
    seen = []

    def handler(record):
        seen.append(record.body)
        if record.body == "bad":
            raise ValueError
        time.sleep(0.25)

    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    first, _, third, last = names(event["Records"])
    answer = process_partial_response(event, handler, processor, LambdaContext(timeout=0.5))
    assert answer == reply(first, third, last)
    assert seen == ["bad", "late"]


def test_an_awaited_handler_is_cut_off_too():
    processor = BatchProcessor(EventType.SQS)
    answer, seconds = timed(
        lambda: process_partial_response(EVENT, slow, processor, LambdaContext(timeout=0.6))
    )
    assert answer == reply(B, C)
    assert seconds < 0.6
    assert [str(error) for _, error, _ in processor.exceptions] == [NOT_FINISHED, NOT_STARTED]


def test_a_handler_that_swallows_its_cancellation_is_no_success(caplog):
    ran_on = []

    async def swallows(record):
        try:
            await asyncio.sleep(30 if record.body.startswith("slow") else 0)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ran_on.append(record.body)
        return record.body

    processor = AsyncBatchProcessor(EventType.SQS)
    assert async_process_partial_response(EVENT, swallows, processor, LambdaContext(timeout=0.6)) == reply(B)
    assert ran_on == ["slow b"]
    assert processor.success_messages == [RECORDS[0], RECORDS[2]], "its late success is withdrawn"
    assert [body_of(each) for each in processor.fail_messages] == ["slow b"]


def test_a_straggler_does_not_run_in_the_next_invocation(in_lambda):
    ticks = []

    async def never_ends(record):
        while record.body.startswith("slow"):
            try:
                await asyncio.sleep(0.01)
                ticks.append(record.body)
            except asyncio.CancelledError:
                pass

    processor = AsyncBatchProcessor(EventType.SQS)
    answer, seconds = timed(
        lambda: async_process_partial_response(EVENT, never_ends, processor, LambdaContext(timeout=0.6))
    )
    assert answer == reply(B)
    assert seconds < 0.6
    ticks.clear()

    async def waits(record):
        await asyncio.sleep(0.05)

    assert async_process_partial_response(EVENT, waits, processor) == reply()
    assert not ticks


class ObeysNothing:
    """Handlers that obey nothing, not even the closing of their coroutines, until the test is over.

    A coroutine that is closed goes on here without waiting: there is no loop to wait on.
    """

    def __init__(self):
        self.test_is_over = False

    async def coroutine(self, record):
        while record.body.startswith("slow") and not self.test_is_over:
            with contextlib.suppress(BaseException):
                await asyncio.sleep(0.01)

    @types.coroutine
    def generator(self, record):
        yield from self.coroutine(record).__await__()

    def awaitable(self, record):
        return Awaitable(self.coroutine(record))


class Awaitable:
    """An awaitable of one's own; what it calls close is never called."""

    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()

    def close(self):
        pytest.fail("it is no coroutine")


@pytest.fixture
def obeys_nothing():
    handlers = ObeysNothing()
    yield handlers
    handlers.test_is_over = True


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside a loop"])
@pytest.mark.parametrize("what", ["coroutine", "generator", "awaitable"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_handler_that_obeys_nothing_does_not_hang_the_call(obeys_nothing, what, is_async, inside):
    """Its coroutine has begun, and so is left as it is; one that has not is closed, or Python would complain."""
    handler = getattr(obeys_nothing, what)
    processor = processor_of(OURS, "SQS", is_async=is_async)
    context = LambdaContext(timeout=0.8)

    def call():
        return timed(lambda: process(OURS, EVENT, handler, processor, context, is_async=is_async))

    async def main():
        return call()

    answer, seconds = asyncio.run(main()) if inside else call()
    assert answer == (reply(B) if is_async else reply(B, C))
    assert seconds < 0.8
    assert str(processor.exceptions[0][1]) == NOT_FINISHED
    gc.collect()  # nor is it collected


def test_a_coroutine_that_comes_too_late_is_not_begun():
    """It is closed: Python would complain of one that nobody awaited."""

    async def later(record):
        pytest.fail("it was begun")

    def handler(record):
        time.sleep(0.25)
        return later(record)

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    assert process_partial_response(EVENT, handler, processor, LambdaContext(timeout=0.5)) == reply(A, B, C)
    assert [str(error) for _, error, _ in processor.exceptions] == [NOT_STARTED] * 3
    gc.collect()


def test_inside_a_running_loop_the_grace_is_waited_for(caplog):
    """A handler that obeys its second cancellation is no reason to leave a thread behind."""

    async def obeys_late(record):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        await asyncio.sleep(30)

    async def main():
        processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
        return process_partial_response(EVENT, obeys_late, processor, LambdaContext(timeout=0.8))

    assert asyncio.run(main()) == reply(A, B, C)
    assert "left behind" not in caplog.text


def test_a_fifo_batch_is_cut_in_order():
    event = event_of("SQS", ["a", "slow b", "c"], groups=["1", "1", "2"])
    for group_mode, expected in ((False, [1, 2]), (True, [1])):
        processor = SqsFifoPartialProcessor(skip_group_on_error=group_mode)
        answer = async_process_partial_response(event, slow, processor, LambdaContext(timeout=0.5))
        assert answer == reply(*[names(event["Records"])[at] for at in expected])


@pytest.mark.parametrize("is_async", [False, True])
def test_without_time_nothing_is_started(is_async, caplog):
    seen = []
    handler = handler_of(seen.append, is_async=is_async)
    processor = processor_of(OURS, "SQS", is_async=is_async)
    with pytest.raises(BatchProcessingError, match="All records failed"):
        process(OURS, EVENT, handler, processor, LambdaContext(timeout=0.2), is_async=is_async)
    assert not seen
    assert processor.response() == reply(A, B, C)
    assert "no record is started" in caplog.text


class Standing:
    """A test's context: what it says does not change."""

    def __init__(self, milliseconds):
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self):
        return self.milliseconds


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "context", [Standing(5), Standing(0), TheirContext()], ids=["5 ms", "0 ms", "Powertools'"]
)
def test_a_tests_context_whose_time_stands_still_is_no_deadline(is_async, context):
    """The peer's documentation makes contexts with 5 ms left, and its own class says 0."""
    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(lambda text: text, is_async=is_async)
    assert process(OURS, EVENT, handler, processor, context, is_async=is_async) == reply()


def test_a_time_that_stands_still_and_leaves_room_is_one():
    processor = AsyncBatchProcessor(EventType.SQS)
    answer, seconds = timed(lambda: async_process_partial_response(EVENT, slow, processor, Standing(600)))
    assert answer == reply(B)
    assert seconds < 0.6


@pytest.mark.parametrize(
    "context", [{}, object(), "text", type("C", (), {"get_remaining_time_in_millis": lambda s: None})()]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_context_that_tells_no_time_is_no_deadline(is_async, context):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(lambda text: text, is_async=is_async)
    assert process(OURS, EVENT, handler, processor, context, is_async=is_async) == reply()


class Odd:
    """A context of a test: its remaining time is whatever it is."""

    def __init__(self, tell):
        self.get_remaining_time_in_millis = tell


def raises():
    raise NotImplementedError


ODD = {
    "a number": 5000,
    "nothing": None,
    "raises": raises,
    "wants an argument": lambda needed: needed,
    "not a number": lambda: float("nan"),
    "text": lambda: "5000",
    "a mock at its end": iter(()).__next__,
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("tell", ODD, ids=ODD)
def test_a_context_that_cannot_tell_is_no_deadline_either(is_async, tell):
    tell = ODD[tell]
    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(str, is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async, context=Odd(tell)) == reply()


def test_a_context_is_asked_once():
    asked = []

    def tell():
        asked.append(True)
        return 60_000

    for is_async in (False, True):
        asked.clear()
        processor = processor_of(OURS, "SQS", is_async=is_async)
        process(
            OURS, EVENT, handler_of(str, is_async=is_async), processor, is_async=is_async, context=Odd(tell)
        )
        assert len(asked) == 1


def test_the_deadline_is_that_of_the_last_call():
    processor = AsyncBatchProcessor(EventType.SQS)
    quick = handler_of(lambda text: text, is_async=True)
    assert async_process_partial_response(EVENT, quick, processor, LambdaContext(timeout=900)) == reply()
    assert async_process_partial_response(EVENT, quick, processor) == reply()
    assert processor.lambda_context is not None


def test_inside_a_running_loop_it_holds_too():
    async def main():
        processor = AsyncBatchProcessor(EventType.SQS)
        return timed(
            lambda: async_process_partial_response(EVENT, slow, processor, LambdaContext(timeout=0.6))
        )

    answer, seconds = asyncio.run(main())
    assert answer == reply(B)
    assert seconds < 0.6
