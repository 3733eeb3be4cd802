"""A record whose handler returns what has yet to run is no success, on every way through the engine."""

import asyncio
import concurrent.futures
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncbatch import BatchEngine, FailureReason, threaded
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.testing import run_virtual, sqs_event


async def work(number=1):
    return number


def generator():
    yield 1


async def failing():
    raise ValueError("MARKER")


UNDONE = {
    "a coroutine": work,
    "coroutines in a list": lambda: [work(1), work(2)],
    "a coroutine in a dict": lambda: {"statusCode": 200, "body": work()},
    "coroutines in a tuple": lambda: (1, work()),
    "a coroutine in a set": lambda: {work()},
    "a generator in a list": lambda: [generator()],
    "a map": lambda: map(work, [1, 2]),
    "a filter": lambda: filter(work, [1, 2]),
    "a starmap": lambda: itertools.starmap(work, [(1,)]),
    "a map in a dict": lambda: {"results": map(work, [1])},
    "a pending future of an executor": concurrent.futures.Future,
    "pending futures as keys": lambda: {concurrent.futures.Future(): "https://example.org"},
}
DONE = {
    "nothing": lambda: None,
    "a reply": lambda: {"statusCode": 200, "body": ["done", 1, None]},
    "a list": lambda: [[]],
    "an empty dict": dict,
}


@pytest.mark.parametrize("eager", [True, False] if CAN_START_EAGERLY else [False])
@pytest.mark.parametrize("name", UNDONE)
def test_what_has_yet_to_run_is_refused(name, eager):
    async def handler(record):
        return UNDONE[name]() if record.text == "b" else None

    report = run_virtual(lambda: BatchEngine(eager=eager).process(sqs_event(["a", "b", "c"]), handler))
    failed = report.outcomes[1]
    assert report.failures == [failed.id]
    assert failed.reason is FailureReason.REFUSED
    assert failed.message.startswith("the handler returned a ")


@pytest.mark.parametrize("options", [{}, {"guard_blocking": True}], ids=["plain", "guarded"])
@pytest.mark.parametrize("name", UNDONE)
def test_an_undone_result_is_refused_where_lambda_calls_or_a_thread_works(name, options):
    async def handler(record):
        return UNDONE[name]()

    engine = BatchEngine(**options)
    for each in (handler, threaded(lambda record: UNDONE[name]())):
        report = engine.run(sqs_event(["a"]), each)
        assert report.outcomes[0].reason is FailureReason.REFUSED


@pytest.mark.parametrize("name", DONE)
def test_plain_values_are_success(name):
    async def handler(record):
        return DONE[name]()

    assert BatchEngine().run(sqs_event(["a", "b"]), handler).all_succeeded


WRAPS = {"itself": lambda task: task, "a list": lambda task: [task], "a dict": lambda task: {"task": task}}


@pytest.mark.parametrize("ending", ["pending", "done", "failed", "cancelled"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_a_task_that_is_returned_stands_for_what_became_of_it(ending, wrap):
    async def handler(record):
        task = asyncio.create_task(failing() if ending == "failed" else work())
        if ending == "cancelled":
            task.cancel()
        if ending != "pending":
            await asyncio.wait([task])
        return WRAPS[wrap](task)

    report = run_virtual(lambda: BatchEngine().process(sqs_event(["a"]), handler))
    assert report.all_succeeded is (ending == "done")
    if ending != "done":
        text = {
            "pending": "that nothing awaited",
            "failed": "that failed with ValueError",
            "cancelled": "that was cancelled",
        }
        assert f"a Task {text[ending]}" in report.outcomes[0].message


def test_what_an_executor_has_done_is_success_and_what_it_still_does_is_not():
    with ThreadPoolExecutor() as executor:
        held = concurrent.futures.Future()

        async def handler(record):
            futures = [executor.submit(int, "1"), executor.submit(held.result if record.text == "b" else int)]
            concurrent.futures.wait(futures, timeout=0 if record.text == "b" else None)
            return futures

        report = BatchEngine().run(sqs_event(["a", "b"]), handler)
        held.set_result(None)
    assert report.failures == [report.outcomes[1].id]
