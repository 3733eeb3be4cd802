"""`threaded`: plain functions in worker threads."""

import asyncio
import contextvars
import os
import subprocess
import sys
import textwrap
import threading
import time
import types
from contextvars import ContextVar

import anyio.from_thread
import pytest
from test_loop import in_a_fresh_process

from asyncbatch import (
    BatchEngine,
    BlockedThreadsError,
    FailureReason,
    InvalidHandlerError,
    threaded,
)
from asyncbatch import _workers as workers
from asyncbatch.testing import LambdaContext, sqs_event

variable = ContextVar("variable", default=None)


def event(size):
    return sqs_event([str(number) for number in range(size)])


def worker_threads():
    """The threads that are alive and run handlers."""
    return {thread for thread in threading.enumerate() if "worker" in thread.name}


def until(condition):
    """Wait until something is so."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def released():
    """What functions wait for that do not return in time; they all do after the test."""
    event = threading.Event()
    yield event
    event.set()
    until(lambda: not workers._workers.left)


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


# --- a thread that does not come back keeps its place -------------------------------------------------


def test_functions_that_do_not_return_hold_no_more_threads_than_the_limit(released):
    @threaded
    def blocks(record):
        released.wait(30)

    before = worker_threads()
    report = BatchEngine(concurrency=5, record_timeout=0.05, grace=0.01).run(event(60), blocks)
    assert {outcome.reason for outcome in report.outcomes} == {FailureReason.TIMED_OUT}
    assert len(worker_threads() - before) <= 5
    assert len(report.still_running) == 5
    assert "waited longer than record_timeout" in report.outcomes[-1].message
    assert "took longer than record_timeout" in report.outcomes[0].message


def test_a_record_that_waits_for_a_place_has_the_whole_timeout_once_it_has_a_thread(released):
    """The first holds the only place for a second; the second waits, and then works for nearly the timeout."""
    first_ends = threading.Event()

    @threaded
    def handler(record):
        if record.text == "0":
            first_ends.wait(20)
        else:
            time.sleep(0.6)

    async def main():
        asyncio.get_running_loop().call_later(1.5, first_ends.set)
        return await BatchEngine(concurrency=1, record_timeout=1.0).process(event(2), handler)

    report = asyncio.run(main())
    assert [outcome.position for outcome in report.succeeded] == [1]
    assert report.outcomes[0].reason is FailureReason.TIMED_OUT


def test_a_record_that_waits_for_a_place_is_cut_off_at_the_deadline_and_never_begins(released):
    begun = []

    @threaded
    def blocks(record):
        begun.append(record.text)
        released.wait(30)

    engine = BatchEngine(concurrency=1, record_timeout=0.5, deadline_margin=0.6, grace=0.02)
    report = engine.run(event(3), blocks, LambdaContext(1.35))
    assert report.outcomes[0].reason is FailureReason.TIMED_OUT
    assert report.outcomes[1].reason is FailureReason.DEADLINE
    assert not report.succeeded
    assert report.still_running == (report.outcomes[0].id,)
    released.set()
    until(lambda: not workers._workers.left)
    time.sleep(0.05)
    assert begun == ["0"]


def test_a_limit_that_grows_gives_places_to_those_who_wait():
    ends = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        threads = workers.Threads(1)
        calls = [workers.Call(ends.wait, contextvars.Context(), loop, None, at) for at in range(4)]
        assert [threads.start(call) for call in calls] == [True, False, False, False]
        threads.resize(3)
        assert threads.running() == {0, 1, 2}
        assert threads.is_waiting(3)
        threads.resize(1)
        assert threads.running() == {0, 1, 2}
        ends.set()
        await asyncio.wait([call.done for call in calls])
        assert [call.result for call in calls] == [True] * 4
        assert not threads.running()

    asyncio.run(main())


def test_what_waits_for_a_place_when_the_run_is_over_never_begins():
    ends, begun = threading.Event(), []

    async def main():
        loop = asyncio.get_running_loop()
        threads = workers.Threads(1)
        first = workers.Call(ends.wait, contextvars.Context(), loop, None, 0)
        second = workers.Call(lambda: begun.append("second"), contextvars.Context(), loop, None, 1)
        threads.start(first)
        threads.start(second)
        threads.close()
        ends.set()
        await first.done
        assert not threads.running()

    asyncio.run(main())
    assert not begun


def test_a_call_that_was_abandoned_before_its_thread_got_to_it_does_not_begin():
    begun = []

    async def main():
        loop = asyncio.get_running_loop()
        call = workers.Call(lambda: begun.append(1), contextvars.Context(), loop, None, 0)
        call.is_abandoned = True
        workers.Threads(1).start(call)
        await call.done

    asyncio.run(main())
    assert not begun


def test_while_too_many_threads_are_left_behind_runs_are_refused_before_anything_ran(monkeypatch, released):
    monkeypatch.setattr(workers, "MOST_LEFT", 3)
    told, ran = [], []

    @threaded
    def blocks(record):
        released.wait(30)

    @threaded
    def handler(record):
        ran.append(record)

    def leave(number):
        engine = BatchEngine(concurrency=number, record_timeout=0.05, grace=0.01)
        return engine.run(event(number), blocks)

    leave(2)
    assert BatchEngine().run(event(1), handler).all_succeeded
    leave(2)
    ran.clear()
    engine = BatchEngine(hooks=[told.append])
    with pytest.raises(BlockedThreadsError, match="4 threads of this process"):
        engine.run(event(1), handler)
    with pytest.raises(BlockedThreadsError):
        asyncio.run(engine.process(event(1), handler))
    with pytest.raises(BlockedThreadsError):
        asyncio.run(handler("a call outside of a run"))
    assert not ran
    assert not told
    released.set()
    until(lambda: not workers._workers.left)
    assert engine.run(event(1), handler).all_succeeded


EXITS = """
    import sys, threading, time
    from asyncbatch import BatchEngine, threaded
    from asyncbatch.testing import sqs_event

    @threaded
    def handler(record):
        if record.text == "blocks":
            threading.Event().wait()
        if record.text == "sleeps":
            time.sleep(1e6)

    report = BatchEngine(record_timeout=0.1).run(sqs_event(["blocks", "sleeps", "returns"]), handler)
    print(len(report.succeeded), len(report.still_running))
    sys.exit(7)
"""


def test_a_function_that_never_returns_does_not_keep_the_interpreter_from_exiting():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EXITS)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (7, "1 2\n"), done.stderr
    assert "Fatal" not in done.stderr
    assert "Traceback" not in done.stderr


# --- threads of the process ---------------------------------------------------------------------------


def test_threads_are_used_again_by_later_records_and_runs():
    used = set()

    @threaded
    def handler(record):
        used.add(threading.current_thread())

    for _ in range(3):
        assert BatchEngine(concurrency=1).run(event(10), handler).all_succeeded
    assert len(used) <= 2


def test_threads_that_nobody_needs_end(monkeypatch):
    monkeypatch.setattr(workers, "_IDLE_TIME", 0.001)
    before = set(workers._workers.idle)

    @threaded
    def handler(record):
        time.sleep(0.001)

    for _ in range(20):
        assert BatchEngine(concurrency=8).run(event(40), handler).all_succeeded
    until(lambda: set(workers._workers.idle) <= before)


def test_a_record_whose_thread_cannot_be_started_fails_alone(monkeypatch):
    monkeypatch.setattr(workers, "_IDLE_TIME", 0.001)
    until(lambda: not workers._workers.idle)
    start, started = threading.Thread.start, []

    def at_most_one(thread):
        started.append(thread)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    ends = threading.Event()

    @threaded
    def handler(record):
        ends.wait(20)

    async def main():
        asyncio.get_running_loop().call_later(0.1, ends.set)
        return await BatchEngine(concurrency=3).process(event(3), handler)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", at_most_one)
        report = asyncio.run(main())
    assert [outcome.position for outcome in report.succeeded] == [0]
    assert {outcome.message for outcome in report.outcomes[1:]} == {"RuntimeError: can't start new thread"}
    assert BatchEngine(concurrency=3).run(event(3), handler).all_succeeded


def test_whoever_waits_for_a_thread_that_cannot_be_started_is_told(monkeypatch):
    monkeypatch.setattr(workers, "_IDLE_TIME", 0.001)
    until(lambda: not workers._workers.idle)
    ends = threading.Event()

    def refused(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        loop = asyncio.get_running_loop()
        threads = workers.Threads(1)
        calls = [workers.Call(ends.wait, contextvars.Context(), loop, None, at) for at in range(2)]
        for call in calls:
            threads.start(call)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refused)
            threads.resize(2)
        await calls[1].done
        assert str(calls[1].error) == "can't start new thread"
        assert threads.running() == {0}
        ends.set()
        await calls[0].done

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_threads_of_its_own():
    printed = in_a_fresh_process("""
        import os, warnings
        from asyncbatch import BatchEngine, threaded
        from asyncbatch.testing import sqs_event
        @threaded
        def handler(record):
            pass
        run = lambda: BatchEngine().run(sqs_event(["a", "b"]), handler).all_succeeded
        assert run()
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads: meant
        child = os.fork()
        if not child:
            assert run()
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert run()
        print("parent")
    """)
    assert printed == ["child", "parent"]


# --- what a function raises, and what it may call -----------------------------------------------------


@pytest.mark.parametrize("error", [StopIteration("over"), ValueError("bad"), SystemExit(3), GeneratorExit()])
def test_whatever_a_function_raises_fails_its_record_alone(error):
    @threaded
    def handler(record):
        if record.text == "1":
            raise error

    report = BatchEngine().run(event(3), handler, LambdaContext(20))
    assert [outcome.position for outcome in report.succeeded] == [0, 2]
    assert report.outcomes[1].reason is FailureReason.RAISED


def test_an_error_keeps_the_place_where_the_function_raised_it():
    def deep():
        raise ValueError("bad")

    @threaded
    def handler(record):
        deep()

    (outcome,) = BatchEngine().run(event(1), handler).outcomes
    assert "in test_an_error_keeps_the_place_where_the_function_raised_it.<locals>.deep" in outcome.trace
    with pytest.raises(ValueError, match="bad") as caught:
        asyncio.run(handler("outside of a run"))
    assert caught.traceback[-1].name == "deep"


async def add(first, second):
    await asyncio.sleep(0)
    return first + second


@threaded
def calls_back(record):
    assert anyio.from_thread.run(add, 1, 2) == 3
    loop = anyio.from_thread.run_sync(asyncio.get_running_loop)
    assert loop.is_running()
    anyio.from_thread.check_cancelled()
    assert anyio.run(add, 3, 4) == 7  # no event loop runs in this thread


@pytest.mark.parametrize("run", ["engine", "asyncio", "anyio"])
def test_a_function_can_call_back_into_the_loop_by_anyio(run):
    engine = BatchEngine(concurrency=2)
    for _ in range(2):  # in new threads, and in used ones
        if run == "engine":
            report = engine.run(event(4), calls_back)
        elif run == "asyncio":
            report = asyncio.run(engine.process(event(4), calls_back))
        else:
            report = anyio.run(engine.process, event(4), calls_back)
        assert report.all_succeeded, report.outcomes[0].message
    asyncio.run(calls_back("outside of a run"))


def test_a_function_can_ask_whether_its_record_was_given_up():
    asked, told = threading.Event(), []

    @threaded
    def handler(record):
        try:
            while True:
                anyio.from_thread.check_cancelled()
                time.sleep(0.005)
        except BaseException as error:
            told.append(type(error))
        finally:
            asked.set()

    report = BatchEngine(record_timeout=0.05).run(event(1), handler)
    assert report.outcomes[0].reason is FailureReason.TIMED_OUT
    assert asked.wait(20)
    assert told == [asyncio.CancelledError]


def test_libraries_that_ask_sniffio_find_no_event_loop_in_a_thread(monkeypatch):
    library = ContextVar("library", default=None)
    monkeypatch.setitem(sys.modules, "sniffio", types.SimpleNamespace(current_async_library_cvar=library))
    seen = []

    @threaded
    def handler(record):
        seen.append(library.get())

    async def main():
        library.set("asyncio")
        await handler("outside of a run")
        return library.get()

    assert asyncio.run(main()) == "asyncio"
    assert seen == [None]


def test_an_anyio_that_does_not_tell_what_makes_a_thread_its_own_is_no_obstacle(monkeypatch):
    """The names that are private to anyio may be gone from a later version."""
    import anyio._core._eventloop as private

    monkeypatch.delattr(private, "claim_worker_thread")

    @threaded
    def handler(record):
        return record.text

    assert BatchEngine().run(event(3), handler).all_succeeded


def test_a_threaded_function_can_be_called_from_within_an_async_handler():
    used = []

    @threaded
    def inner(number):
        used.append(threading.current_thread())
        return number + 1

    async def handler(record):
        assert await inner(1) == 2

    assert BatchEngine().run(event(3), handler).all_succeeded
    assert threading.current_thread() not in used
