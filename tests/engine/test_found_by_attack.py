"""What an attack on the engine found, one defect a test: none of it may come back."""

import asyncio
import gc
import logging
import sys
import threading
import time
import types
import weakref
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

import pytest
from histories import virtual_kept_loops

import asyncbatch
from asyncbatch import BatchEngine, FailureReason, FailureScope, SkipReason, threaded
from asyncbatch import _guard as guard_module
from asyncbatch import _lifespan as lifespans
from asyncbatch._loop import kept_loop
from asyncbatch.hooks import BatchEnded, RecordStarted
from asyncbatch.testing import LambdaContext, kinesis_event, run_virtual, sqs_event, sqs_fifo_event

variable = ContextVar("variable", default=None)


class Raw(dict):
    """A raw record that can be watched."""


def event(size):
    return sqs_event([str(number) for number in range(size)])


def watched(size):
    whole = event(size)
    whole["Records"] = [Raw(each) for each in whole["Records"]]
    return whole, [weakref.ref(each) for each in whole["Records"]]


def alive(references):
    return sum(reference() is not None for reference in references)


async def fine(record):
    pass


async def deaf(record):
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)


# --- the guard ----------------------------------------------------------------------------------------


class Blocked:
    """A deaf record, and one that blocks the guard's thread until it is released."""

    def __init__(self):
        self.released = threading.Event()
        self.thread = None
        self.steps = []

    async def handler(self, record):
        if record.text == "0":
            await deaf(record)
        await asyncio.sleep(0.01)
        self.thread = threading.current_thread()
        self.released.wait(5)
        await asyncio.sleep(0)
        self.steps.append("a step in the thread that was left")

    def release(self):
        self.released.set()
        self.thread.join(3)
        assert not self.thread.is_alive()

    def run(self, *hooks):
        engine = BatchEngine(guard_blocking=True, deadline_margin=0.2, grace=0.02, hooks=hooks)
        return engine.run(event(2), self.handler, LambdaContext(0.3))


def test_the_guards_reply_is_kept_although_the_thread_goes_on_while_the_report_is_made():
    blocked = Blocked()

    def hook(happened):
        if isinstance(happened, BatchEnded):
            blocked.release()

    report = blocked.run(hook)
    assert [each.reason for each in report.outcomes] == [FailureReason.DEADLINE] * 2
    assert blocked.steps == []


def test_the_guards_reply_is_kept_although_the_thread_closes_its_loop_first(monkeypatch):
    blocked = Blocked()
    leave = guard_module.GuardedCall.leave

    def late(call):
        left = leave(call)
        blocked.release()
        return left

    monkeypatch.setattr(guard_module.GuardedCall, "leave", late)
    report = blocked.run()
    assert [each.reason for each in report.outcomes] == [FailureReason.DEADLINE] * 2


def test_the_guard_registers_for_the_interpreters_end_once(monkeypatch):
    asyncbatch.shutdown()
    registered = []
    monkeypatch.setattr(guard_module._guards, "is_registered", False)
    monkeypatch.setattr(guard_module.atexit, "register", registered.append)
    for _ in range(3):
        assert guard_module.call_guarded(None, lambda: 1).result() == 1
        asyncbatch.shutdown()
    assert registered == [guard_module.shutdown]


@pytest.mark.parametrize("called", [["before", "after"], ["after"]])
def test_a_snapshot_replaces_the_guards_loop_too(monkeypatch, called):
    asyncbatch.shutdown()
    hooks = {}
    module = types.ModuleType("snapshot_restore_py")
    module.register_before_snapshot = lambda hook: hooks.update(before=hook)
    module.register_after_restore = lambda hook: hooks.update(after=hook)
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", module)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    monkeypatch.setattr(guard_module._guards, "is_registered", False)
    monkeypatch.setattr(guard_module.atexit, "register", lambda hook: None)
    loops = []

    async def handler(record):
        loops.append(asyncio.get_running_loop())

    engine = BatchEngine(guard_blocking=True)
    engine.run(event(1), handler)
    for name in called:
        hooks[name]()
    engine.run(event(1), handler)
    assert loops[0] is not loops[1]


# --- lazy tasks ---------------------------------------------------------------------------------------


def test_lazy_tasks_do_not_begin_beyond_the_deadline():
    """Handlers of 0.1 s that never wait, and 0.4 s for them: four begin, though sixteen tasks were made."""

    async def main():
        loop = asyncio.get_running_loop()
        begin = loop.time()

        async def handler(record):
            seen.append(record.text)
            loop.hold(0.1)

        engine = BatchEngine(eager=False, grace=0.1)
        report = await engine.process(event(30), handler, deadline=0.5)
        return report, loop.time() - begin

    seen = []
    report, took = run_virtual(main)
    assert seen == ["0", "1", "2", "3"]
    assert took < 0.5
    assert len(report.succeeded) == 4
    assert {each.reason for each in report.unsuccessful} == {SkipReason.DEADLINE}
    assert report.still_running == ()


@pytest.mark.parametrize("keys", [["a", "b", "c", "d", "e", "f"], ["a", "b", "c", "d", "b", "c"]])
def test_lazy_tasks_do_not_begin_behind_a_failure_that_halts_the_batch(keys):
    seen = []

    async def handler(record):
        seen.append(record.json())
        if record.json() == 1:
            raise ValueError

    engine = BatchEngine(eager=False, failure_scope=FailureScope.BATCH)
    batch = kinesis_event(list(range(6)), keys=keys)
    report = run_virtual(lambda: engine.process(batch, handler))
    assert seen == [0, 1]
    assert [each.position for each in report.succeeded] == [0]
    assert report.outcomes[1].reason is FailureReason.RAISED
    reasons = {each.reason for each in report.outcomes[2:]}
    assert SkipReason.BATCH_HALTED in reasons
    assert reasons <= {SkipReason.BATCH_HALTED, SkipReason.LANE_HALTED}
    assert report.checkpoint == batch["Records"][1]["kinesis"]["sequenceNumber"]


def test_lazy_tasks_go_on_behind_a_failure_that_halts_its_lane_alone():
    seen = []

    async def handler(record):
        seen.append(record.json())
        if record.json() == 0:
            raise ValueError

    batch = sqs_fifo_event([0, 1, 2, 3], groups=["a", "b", "a", "c"])
    report = run_virtual(lambda: BatchEngine(eager=False).process(batch, handler))
    assert sorted(seen) == [0, 1, 3]
    assert report.outcomes[2].reason is SkipReason.LANE_HALTED


def test_lazy_tasks_do_not_begin_after_a_stop(monkeypatch):
    """In Lambda an interrupt stops the run without an error: the burst that was made stays undone."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    seen = []

    async def handler(record):
        seen.append(record.text)
        if record.text == "1":
            raise KeyboardInterrupt

    report = run_virtual(lambda: BatchEngine(eager=False).process(event(30), handler))
    assert seen == ["0", "1"]
    assert report.outcomes[1].reason is FailureReason.RAISED
    assert [each.reason for each in report.outcomes[2:]] == [SkipReason.STOPPED] * 28


# --- threads ------------------------------------------------------------------------------------------


def test_a_nested_run_does_not_postpone_the_outer_records_timeout():
    ended = threading.Event()

    @threaded
    def brief(record):
        time.sleep(0.04)

    @threaded
    def outer(record):
        try:
            BatchEngine(concurrency=1).run(event(6), brief)
        finally:
            asyncbatch.shutdown()
            ended.set()

    report = BatchEngine(record_timeout=0.1).run(event(1), outer)
    assert ended.wait(5)
    assert report.outcomes[0].reason is FailureReason.TIMED_OUT


def test_what_a_threaded_function_calls_does_not_wait_for_the_functions_own_thread():
    inner = threaded(lambda value: value)

    @threaded
    def outer(record):
        assert asyncio.run(asyncio.wait_for(inner(record.text), 0.5)) == record.text

    assert BatchEngine(concurrency=1).run(event(1), outer).all_succeeded


def test_a_handler_that_calls_a_threaded_function_gets_threads_enough():
    meeting = threading.Barrier(10)
    together = threaded(lambda record: meeting.wait(1))

    async def handler(record):
        await together(record)

    assert BatchEngine(concurrency=10).run(event(10), handler).all_succeeded


@pytest.mark.parametrize("small_first", [True, False])
def test_a_small_run_does_not_take_a_large_ones_threads(small_first):
    meeting = threading.Barrier(20)

    @threaded
    def handler(record):
        if record.body != "small":
            meeting.wait(1)

    async def main():
        large = BatchEngine(concurrency=20).process(event(20), handler)
        small = BatchEngine(concurrency=1).process(sqs_event(["small", "small"]), handler)
        return await asyncio.gather(*([small, large] if small_first else [large, small]))

    assert all(report.all_succeeded for report in asyncio.run(main()))


def test_run_uses_its_worker_threads_again():
    threads = set()

    @threaded
    def handler(record):
        threads.add(threading.current_thread())

    assert BatchEngine(concurrency=4).run(event(100), handler).all_succeeded
    assert len(threads) <= 12  # it was one for every other record


def test_a_timer_of_a_threaded_run_keeps_no_record():
    whole, references = watched(3)
    handler = threaded(lambda record: None)
    report = BatchEngine(record_timeout=30).run(whole, handler)
    assert report.all_succeeded
    del whole, report
    end = time.monotonic() + 5  # a worker thread may still be letting go
    while alive(references) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    assert alive(references) == 0


def test_a_thread_that_begins_after_its_record_ended_arms_no_timer():
    """The thread tells the loop that it begins; the loop may hear of it too late, or twice."""
    begins = []

    async def handler(record):
        own = asyncbatch._scheduler.threaded_record.get()
        begins.append(own.begin)
        own.begin()
        own.begin()
        await asyncio.sleep(0)

    def plain(record):
        """Stands for the function: what matters is what the loop is told."""

    marked = threaded(plain)

    async def main(monkey):
        monkey.setattr(type(marked), "__call__", lambda self, record: handler(record))
        return await BatchEngine(record_timeout=5).process(event(2), marked)

    with pytest.MonkeyPatch.context() as monkey:
        report = run_virtual(lambda: main(monkey))
    assert report.all_succeeded
    for begin in begins:
        begin()


# --- what a run leaves behind -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["run", "process"])
def test_a_run_with_hooks_is_no_cycle(how):
    engine = BatchEngine(hooks=[lambda happened: None])
    engine.run(event(1), fine)  # the loop is made
    gc.collect()
    gc.disable()
    try:
        whole, references = watched(3)
        if how == "run":
            engine.run(whole, fine)
        else:
            run_virtual(engine.process(whole, fine))
        del whole
        assert alive(references) == 0
    finally:
        gc.enable()


def test_hooks_do_not_see_the_context_variables_of_other_records():
    seen = []

    def hook(happened):
        if isinstance(happened, RecordStarted):
            seen.append(variable.get())

    async def handler(record):
        await asyncio.sleep(0)
        variable.set(record.id)

    run_virtual(lambda: BatchEngine(hooks=[hook], concurrency=1).process(event(4), handler))
    assert seen == [None] * 4


def test_an_interrupt_in_the_grace_is_raised_again_after_the_tidy_up():
    def interrupt():
        raise KeyboardInterrupt

    async def handler(record):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_soon(interrupt)
            await asyncio.sleep(1)

    with virtual_kept_loops():
        loop = kept_loop().loop
        engine = BatchEngine(deadline_margin=0.5, grace=0.3)
        with pytest.raises(KeyboardInterrupt):
            engine.run(event(2), handler, LambdaContext(1.0, clock=loop.time))
        assert kept_loop().loop is not loop


# --- lifespans ----------------------------------------------------------------------------------------


async def with_state(record, state):
    pass


def test_everybody_who_waits_for_a_lifespan_is_told_why_it_did_not_open():
    @asynccontextmanager
    async def lifespan():
        await asyncio.sleep(0.01)
        raise ValueError("down")
        yield

    async def main():
        engine = BatchEngine(lifespan=lifespan)
        calls = [engine.process(event(1), with_state) for _ in range(3)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [f"{type(each).__name__}: {each}" for each in run_virtual(main)] == ["ValueError: down"] * 3


def test_loops_that_ended_with_a_lifespan_open_are_forgotten():
    @asynccontextmanager
    async def lifespan():
        yield "client"

    for _ in range(5):
        assert asyncio.run(BatchEngine(lifespan=lifespan).process(event(1), with_state)).all_succeeded
    assert sum(loop.is_closed() for loop in lifespans._hosts) <= 1  # the next that opens one forgets it


def test_a_state_that_was_closed_while_it_opened_is_not_handed_out():
    @asynccontextmanager
    async def lifespan():
        client = {"open": True}
        await asyncio.sleep(0.1)
        yield client
        client["open"] = False

    seen = []

    async def handler(record, state):
        seen.append(state["open"])

    async def main():
        engine = BatchEngine(lifespan=lifespan)
        processing = asyncio.create_task(engine.process(event(1), handler))
        await asyncio.sleep(0.05)
        await engine.aclose()
        report = await processing
        await engine.aclose()
        return report

    assert run_virtual(main).all_succeeded
    assert seen == [True]


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_lifespan_that_raises_no_exception_is_an_error_not_an_end(error):
    def lifespan():
        raise error

    engine = BatchEngine(lifespan=lifespan)
    for attempt in (
        lambda: run_virtual(lambda: engine.process(event(1), with_state)),
        lambda: engine.run(event(1), with_state),
    ):
        with pytest.raises(RuntimeError, match=f"the lifespan did not open: {error.__name__}"):
            attempt()


def test_an_error_on_a_lifespans_exit_is_logged_without_its_text(caplog):
    @asynccontextmanager
    async def lifespan():
        yield
        raise ValueError("a secret")

    async def main():
        engine = BatchEngine(lifespan=lifespan)
        await engine.process(event(1), fine)
        await engine.aclose()

    with caplog.at_level(logging.WARNING, logger="asyncbatch"):
        run_virtual(main)
    assert [each.getMessage() for each in caplog.records] == ["a lifespan raised on its exit: ValueError"]


# --- what users hand in -------------------------------------------------------------------------------


def test_an_error_that_cannot_be_looked_at_is_its_records_alone():
    class OddError(Exception):
        @property
        def __cause__(self):
            raise RuntimeError("do not look")

    def key(record):
        if record.text == "1":
            raise OddError
        return record.text

    report = BatchEngine(ordering=key).run(event(3), fine)
    assert [each.position for each in report.succeeded] == [0, 2]
    assert report.outcomes[1].reason is FailureReason.RAISED


@pytest.mark.parametrize(
    "fields",
    [
        {"MessageAttributes": None, "Attributes": None},
        {"MessageAttributes": {"k": {"DataType": "Binary", "BinaryValue": "bm90IGJ5dGVz"}}},
        {"MessageAttributes": {"k": {"DataType": "Binary", "BinaryValue": b"not bytes"}}},
    ],
    ids=["none", "text", "bytes"],
)
def test_messages_are_taken_as_clients_spell_them(fields):
    seen = []

    async def handler(record):
        seen.append(record.raw["messageAttributes"])

    message = {"MessageId": "a", "Body": "x", **fields}
    arn = "arn:aws:sqs:eu-west-1:123456789012:orders"
    report = run_virtual(lambda: BatchEngine().process_messages([message], handler, queue_arn=arn))
    assert report.all_succeeded
    assert [each.get("k", {}).get("binaryValue", "bm90IGJ5dGVz") for each in seen] == ["bm90IGJ5dGVz"]
