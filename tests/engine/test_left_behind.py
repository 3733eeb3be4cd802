"""A thread that the guard has left behind does nothing more for its batch, and nobody hears of it."""

import asyncio
import threading
import time
from contextlib import suppress

import pytest

from asyncbatch import BatchEngine, FailureReason, SkipReason, threaded
from asyncbatch import _guard as guard_module
from asyncbatch import _workers as workers
from asyncbatch._ledger import Ledger
from asyncbatch.hooks import BatchEnded
from asyncbatch.limits import AIMDLimit
from asyncbatch.testing import LambdaContext, sqs_event


def event(size):
    return sqs_event([str(number) for number in range(size)])


class Held:
    """Holds the thread of a guarded run until the reply is out and the test lets go."""

    def __init__(self):
        self._released = threading.Event()
        self.thread = None

    def hold(self):
        self.thread = threading.current_thread()
        self._released.wait(30)

    def let_go(self):
        """Let the thread go on, until it has ended."""
        self._released.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        assert not guard_module._guards.left


@pytest.fixture
def held():
    return Held()


def guarded(**options):
    return BatchEngine(guard_blocking=True, deadline_margin=0.4, grace=0.01, **options)


def test_records_that_are_due_in_the_same_turn_take_no_further_step(held):
    """All of them wait for one event; the first holds the thread when it comes."""
    steps = []

    async def handler(record):
        if record.text == "0":
            opened.append(asyncio.Event())
            asyncio.get_running_loop().call_later(0.02, opened[0].set)
        await opened[0].wait()
        if record.text == "0":
            held.hold()
            await asyncio.sleep(0)
        steps.append(record.text)

    opened = []
    report = guarded().run(event(5), handler, LambdaContext(0.9))
    assert not report.succeeded
    held.let_go()
    assert steps == []


@pytest.mark.parametrize("waits_first", [False, True])
@pytest.mark.parametrize("end", ["returns", "raises"])
def test_no_further_record_starts_and_no_hook_is_told_after_the_end(held, waits_first, end):
    told, ran = [], []

    def hook(happened):
        told.append(happened)

    async def handler(record):
        ran.append(record.text)
        if waits_first:
            await asyncio.sleep(0)
        if record.text == "1":
            held.hold()
            if end == "raises":
                raise ValueError

    limit = AIMDLimit(initial=1, maximum=1)
    engine = guarded(concurrency=limit, hooks=[hook, hook])
    report = engine.run(event(4), handler, LambdaContext(0.9))
    before = list(told)
    assert isinstance(told[-1], BatchEnded)
    held.let_go()
    assert told == before
    assert ran == ["0", "1"]
    assert [outcome.position for outcome in report.succeeded] == [0]
    assert report.outcomes[1].reason is FailureReason.DEADLINE
    assert {outcome.reason for outcome in report.outcomes[2:]} == {SkipReason.DEADLINE}


def test_a_hook_that_holds_the_thread_is_the_last_that_is_told_before_the_end(held):
    told = []

    def first(happened):
        told.append("first " + type(happened).__name__)
        if type(happened).__name__ == "RecordStarted":
            held.hold()

    def second(happened):
        told.append("second " + type(happened).__name__)

    async def handler(record):
        told.append("handler")

    engine = guarded(concurrency=1, hooks=[first, second])
    engine.run(event(2), handler, LambdaContext(0.9))
    ended = list(told)
    held.let_go()
    assert ended == [
        "first BatchStarted",
        "second BatchStarted",
        "first RecordStarted",
        "first BatchEnded",
        "second BatchEnded",
    ]
    assert told == ended


def test_a_key_function_that_holds_the_thread_is_followed_by_no_record(held):
    ran, told = [], []

    def key(record):
        held.hold()
        return 0

    async def handler(record):
        ran.append(record.text)

    report = guarded(ordering=key, hooks=[told.append]).run(event(3), handler, LambdaContext(0.9))
    assert {outcome.reason for outcome in report.outcomes} == {SkipReason.DEADLINE}
    before = list(told)
    held.let_go()
    assert ran == []
    assert told == before


def test_functions_in_threads_that_wait_for_a_place_begin_no_more(held):
    """The loop is held by a hook, while a function that ends frees the place that another waits for."""
    ends, begun = threading.Event(), []

    def hook(happened):
        if type(happened).__name__ == "RecordEnded":
            held.hold()

    @threaded
    def handler(record):
        begun.append(record.text)
        ends.wait(20)

    engine = guarded(concurrency=1, record_timeout=0.05, hooks=[hook])
    report = engine.run(event(3), handler, LambdaContext(0.9))
    assert not report.succeeded
    ends.set()
    held.let_go()
    end = time.monotonic() + 20
    while workers._workers.left and time.monotonic() < end:
        time.sleep(0.005)
    assert begun == ["0"]


def test_what_a_straggler_does_in_the_callers_loop_is_told_to_nobody():
    told, steps = [], []

    async def deaf(record):
        while not finish.is_set():
            with suppress(asyncio.CancelledError):
                await finish.wait()
        steps.append("ended")

    async def main():
        engine = BatchEngine(grace=0.01, hooks=[told.append], concurrency=AIMDLimit(initial=2, maximum=2))
        report = await engine.process(event(4), deaf, deadline=0.1)
        assert len(report.still_running) == 2
        before = list(told)
        assert isinstance(before[-1], BatchEnded)
        finish.set()
        await asyncio.sleep(0.05)
        assert told == before

    finish = asyncio.Event()
    asyncio.run(main())
    assert steps.count("ended") == 2


def test_no_thread_sees_a_result_that_is_half_settled(monkeypatch):
    """The thread that was left behind and the one that left it may seal at the same time."""
    ledger = Ledger(2)
    settle = Ledger._settle
    seen = []

    def settled_while_another_thread_looks(self, left):
        seen.append(self.result)
        return settle(self, left)

    monkeypatch.setattr(Ledger, "_settle", settled_while_another_thread_looks)
    assert ledger.seal(SkipReason.DEADLINE) == b"\0\0"
    assert seen == [None]
