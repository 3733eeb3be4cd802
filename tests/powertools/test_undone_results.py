"""A record whose handler returns what has yet to run is no success, with every processor."""

import concurrent.futures
import itertools

import pytest
from libraries import OURS, event_of, handler_of, names, process, processor_of, reply

from asyncbatch.powertools import AsyncBatchProcessor, BatchProcessor, EventType, SqsFifoPartialProcessor

EVENT = event_of("SQS", ["a", "b", "c"])
A, B, C = names(EVENT["Records"])
BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


async def work(number=1):
    return number


def generator():
    yield 1


def cancelled():
    future = concurrent.futures.Future()
    future.cancel()
    return future


UNDONE = {
    "coroutines in a list": lambda: [work(1), work(2)],
    "a coroutine in a dict": lambda: {"statusCode": 200, "body": work()},
    "a coroutine in a tuple": lambda: (1, work()),
    "a generator in a list": lambda: [generator()],
    "a map": lambda: map(work, [1, 2]),
    "a filter": lambda: filter(work, [1, 2]),
    "a starmap": lambda: itertools.starmap(work, [(1,)]),
    "a map in a dict": lambda: {"results": map(work, [1])},
    "a pending future of an executor": concurrent.futures.Future,
    "pending futures as keys": lambda: {concurrent.futures.Future(): "https://example.org"},
    "a cancelled future": cancelled,
}


@BOTH
@pytest.mark.parametrize("name", UNDONE)
def test_what_has_yet_to_run_is_no_success(name, is_async):
    handler = handler_of(lambda text: UNDONE[name]() if text == "b" else {"done": text}, is_async=is_async)
    processor = processor_of(OURS, "SQS", is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)
    ((kind, error, _),) = processor.exceptions
    assert kind is TypeError
    assert str(error).startswith("the record handler returned a ")


@BOTH
@pytest.mark.parametrize("name", UNDONE)
def test_an_undone_result_is_refused_in_a_fifo_queue(name, is_async):
    event = event_of("SQS", ["a", "b", "c"], groups=["1", "2", "2"])
    handler = handler_of(lambda text: UNDONE[name]() if text == "b" else None, is_async=is_async)
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    expected = reply(*names(event["Records"])[1:])
    assert process(OURS, event, handler, processor, is_async=is_async) == expected


@BOTH
@pytest.mark.parametrize("name", UNDONE)
def test_an_undone_result_is_refused_in_an_entry_that_an_override_made(name, is_async):
    class Own(AsyncBatchProcessor if is_async else BatchProcessor):
        def success_handler(self, record, result):
            _, _, record = super().success_handler(record, result)
            return "success", UNDONE[name]() if record["body"] == "b" else [result], record

    handler = handler_of(lambda text: text, is_async=is_async)
    processor = Own(EventType.SQS)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)
    assert [each["messageId"] for each in processor.success_messages] == [A, C]


@BOTH
@pytest.mark.parametrize("result", [{}, [], (), {"a": [1]}, [None, "x"], (1,), {1}], ids=str)
def test_containers_of_plain_values_are_success(result, is_async):
    handler = handler_of(lambda _: result, is_async=is_async)
    processor = processor_of(OURS, "SQS", is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply()
