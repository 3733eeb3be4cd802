"""The guard: the loop in a thread of its own, so that the reply is on time whatever a handler does."""

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

import asyncbatch
from asyncbatch import BatchEngine, FailureReason, RunningLoopError, SkipReason
from asyncbatch.testing import LambdaContext, sqs_event

EVENT = sqs_event(["a", "b", "c"])
variable = ContextVar("variable", default=None)


def guarded(**options):
    return BatchEngine(guard_blocking=True, **options)


async def fine(record):
    await asyncio.sleep(0)


def test_runs_in_one_thread_beside_the_callers():
    threads = set()

    async def handler(record):
        threads.add(threading.current_thread())

    assert guarded().run(EVENT, handler).all_succeeded
    assert guarded().run(EVENT, handler, LambdaContext()).all_succeeded
    assert len(threads) == 1
    assert threading.current_thread() not in threads
    asyncbatch.shutdown()
    (thread,) = threads
    thread.join(2)
    assert not thread.is_alive()
    assert guarded().run(EVENT, handler).all_succeeded


def test_carries_context_variables_in_and_none_back():
    seen = []

    async def handler(record):
        seen.append(variable.get())
        variable.set("a handler's")

    token = variable.set("the caller's")
    try:
        assert guarded().run(EVENT, handler).all_succeeded
        assert seen == ["the caller's"] * 3
        assert variable.get() == "the caller's"
    finally:
        variable.reset(token)


def test_replies_on_time_although_a_handler_blocks():
    released = threading.Event()
    late = []

    async def handler(record):
        if record.text == "b":
            released.wait(10)
            late.append("went on")

    engine = guarded(concurrency=1, deadline_margin=0.6, grace=0.05)
    begin = time.monotonic()
    report = engine.run(EVENT, handler, LambdaContext(1.0))
    assert 0.4 <= time.monotonic() - begin < 1.0
    assert [outcome.position for outcome in report.succeeded] == [0]
    assert report.outcomes[1].reason is FailureReason.DEADLINE
    assert report.outcomes[2].reason is SkipReason.DEADLINE
    assert report.still_running == (report.outcomes[1].id,)
    assert engine.run(EVENT, fine, LambdaContext(5)).all_succeeded
    released.set()
    assert engine.run(EVENT, fine, LambdaContext(5)).all_succeeded
    assert len(report.succeeded) == 1


def test_the_thread_that_was_left_behind_starts_nothing_more():
    released, ran = threading.Event(), []

    async def handler(record):
        ran.append(record.text)
        await asyncio.sleep(0)
        if record.text == "a":
            released.wait(10)
            await asyncio.sleep(0)
            ran.append("after the block")

    engine = guarded(concurrency=1, deadline_margin=0.3, grace=0.05)
    begin = threading.active_count()
    engine.run(EVENT, handler, LambdaContext(0.5))
    released.set()
    end = time.monotonic() + 2
    while threading.active_count() > begin and time.monotonic() < end:
        time.sleep(0.01)
    assert ran == ["a"]


def test_the_deadline_is_kept_for_handlers_that_only_wait():
    async def waits(record):
        await asyncio.sleep(10)

    report = guarded(deadline_margin=0.4, grace=0.02).run(EVENT, waits, LambdaContext(0.6))
    assert report.duration < 0.6
    assert {outcome.reason for outcome in report.outcomes} == {FailureReason.DEADLINE}
    assert not report.still_running


def test_errors_come_out_in_the_calling_thread(monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)

    async def interrupts(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded().run(EVENT, interrupts)
    assert guarded().run(EVENT, fine).all_succeeded


def test_a_running_loop_is_refused_here_too():
    async def main():
        with pytest.raises(RunningLoopError):
            guarded().run(EVENT, fine)

    asyncio.run(main())


def test_nothing_of_a_run_stays_referenced_while_the_thread_waits():
    import gc
    import weakref

    class Payload:
        pass

    payload = Payload()
    reference = weakref.ref(payload)

    async def handler(record, lambda_context):
        pass

    class Context:
        held = payload

    guarded().run(EVENT, handler, Context())
    del payload, Context
    gc.collect()
    assert reference() is None
