"""The guard: the loop in a thread of its own, so that the reply is on time whatever a handler does."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest
from test_loop import in_a_fresh_process

import asyncbatch
from asyncbatch import BatchEngine, BlockedThreadsError, FailureReason, RunningLoopError, SkipReason
from asyncbatch import _guard as guard_module
from asyncbatch.powertools import AsyncBatchProcessor, EventType, async_process_partial_response
from asyncbatch.testing import LambdaContext, sqs_event

EVENT = sqs_event(["a", "b", "c"])
variable = ContextVar("variable", default=None)


def guarded(**options):
    return BatchEngine(guard_blocking=True, **options)


async def fine(record):
    await asyncio.sleep(0)


def guards():
    """The guards' threads that are alive."""
    return {thread for thread in threading.enumerate() if thread.name == "asyncbatch loop"}


def descriptors():
    """How many descriptors are open; 0 where nobody tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def until(condition):
    """Wait until something is so."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def in_a_thread(function):
    """Call a function in a thread that ends with it; a call that hangs fails the test."""
    results = []

    def work():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it hangs"
    return results[0]


@pytest.fixture
def blocked():
    """Makes guarded runs that hold their guard's thread, until the end or until they are released."""
    released = threading.Event()

    async def blocks(record):
        released.wait(30)

    def run():
        engine = guarded(deadline_margin=0.3, grace=0.01)
        return engine.run(sqs_event(["a"]), blocks, LambdaContext(0.8))

    run.release = released.set
    yield run
    released.set()
    until(lambda: not guard_module._guards.left)


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


# --- guards belong to the process ---------------------------------------------------------------------


def test_a_thread_that_calls_and_ends_leaves_no_thread_and_no_descriptor_behind():
    engine = guarded()
    in_a_thread(lambda: engine.run(EVENT, fine))
    open_before = descriptors()
    for _ in range(20):
        assert in_a_thread(lambda: engine.run(EVENT, fine)).all_succeeded
    assert len(guards()) == 1
    assert descriptors() <= open_before


def test_callers_at_one_time_have_a_guard_each_and_few_stay_idle():
    number = 12
    meeting, used = threading.Barrier(number), []

    async def handler(record):
        used.append(threading.current_thread())
        meeting.wait(20)

    engine = guarded()
    callers = [threading.Thread(target=engine.run, args=(sqs_event(["a"]), handler)) for _ in range(number)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert len(set(used)) == number
    until(lambda: len(guards()) <= guard_module.MOST_IDLE)
    assert engine.run(EVENT, fine).all_succeeded


def test_a_guard_is_never_given_to_two_callers_at_once():
    busy, shared, ran = set(), [], []

    async def handler(record):
        thread = threading.get_ident()
        if thread in busy:
            shared.append(thread)
        busy.add(thread)
        await asyncio.sleep(0.0005)
        busy.discard(thread)
        ran.append(record.text)

    engines = [guarded() for _ in range(3)]

    def calls(engine):
        for _ in range(40):
            assert engine.run(sqs_event(["a"]), handler).all_succeeded

    callers = [threading.Thread(target=calls, args=(engines[at % 3],)) for at in range(9)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(40)
    assert not shared
    assert len(ran) == 9 * 40


def test_an_engine_gets_the_guard_that_it_had_last_so_that_its_lifespan_stays_open():
    opened = []
    meeting = threading.Barrier(2)

    @asynccontextmanager
    async def lifespan():
        opened.append(threading.current_thread())
        yield

    async def meets(record):
        await asyncio.sleep(0)
        meeting.wait(20)

    first, second = guarded(lifespan=lifespan), guarded(lifespan=lifespan)
    beside = threading.Thread(target=first.run, args=(sqs_event(["a"]), meets))
    beside.start()
    second.run(sqs_event(["a"]), meets)
    beside.join(20)
    for _ in range(3):
        for engine in (first, second, second, first):
            assert engine.run(EVENT, fine).all_succeeded
    assert len(opened) == len(set(opened)) == 2


def test_a_run_within_a_guarded_run_has_a_guard_of_its_own():
    """The drop-in takes one where it is called inside a running loop."""
    threads = []

    async def inner(record):
        threads.append(threading.current_thread())

    async def outer(record):
        threads.append(threading.current_thread())
        processor = AsyncBatchProcessor(event_type=EventType.SQS)
        event = sqs_event(["inner"])
        reply = async_process_partial_response(event, inner, processor)
        assert reply == {"batchItemFailures": []}

    for _ in range(3):
        assert guarded().run(sqs_event(["outer"]), outer).all_succeeded
    assert len(threads) == 6
    assert len(set(threads)) == 2


def test_shutdown_ends_a_guard_that_is_in_use_when_its_run_is_over():
    entered, released, left = threading.Event(), threading.Event(), []

    @asynccontextmanager
    async def lifespan():
        yield
        left.append("the lifespan was left")

    async def waits(record):
        entered.set()
        released.wait(20)

    engine = guarded(lifespan=lifespan)
    reports = []
    caller = threading.Thread(target=lambda: reports.append(engine.run(sqs_event(["a"]), waits)))
    caller.start()
    assert entered.wait(20)
    (thread,) = guards()
    asyncbatch.shutdown()
    assert not left
    released.set()
    caller.join(20)
    thread.join(20)
    assert not thread.is_alive()
    assert reports[0].all_succeeded
    assert left


# --- what keeps a job from starting -------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_without_a_thread_the_caller_is_told_at_once(monkeypatch, error):
    asyncbatch.shutdown()
    until(lambda: not guards())
    ran = []

    async def handler(record):
        ran.append(record)

    def refused(thread):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        with pytest.raises(type(error)):
            guarded().run(EVENT, handler)
    assert not ran
    assert guarded().run(EVENT, fine).all_succeeded


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
@pytest.mark.parametrize("context", ["None", "LambdaContext(30)"])
def test_without_descriptors_for_a_loop_the_caller_is_told_at_once(context):
    printed = in_a_fresh_process(f"""
        import errno, os, resource, sys, threading
        from asyncbatch import BatchEngine, shutdown
        from asyncbatch.testing import LambdaContext, sqs_event
        sys.unraisablehook = lambda _: None  # asyncio complains of the loop that it could not finish making
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        ran = []
        async def handler(record):
            ran.append(record.id)
        engine = BatchEngine(guard_blocking=True)
        def call():
            try:
                return engine.run(sqs_event(["a"]), handler, {context}).all_succeeded
            except OSError as error:
                return errno.errorcode[error.errno]
        assert call()  # what is loaded late is loaded
        shutdown()
        taken = []
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        told = []
        thread = threading.Thread(target=lambda: told.append(call()), daemon=True)
        thread.start()
        thread.join(15)
        for descriptor in taken:
            os.close(descriptor)
        print(told, len(ran))
        print(call(), len(ran), flush=True)
        os._exit(0)
    """)
    assert printed == ["['EMFILE']", "1", "True", "2"]


def test_a_job_that_ends_while_its_thread_is_being_left_behind_counts(monkeypatch):
    """The wait was given up, but the job has ended: its guard may have its next caller by now."""

    def too_late(call, timeout):
        call.done.wait(20)
        return False

    monkeypatch.setattr(guard_module.GuardedCall, "wait", too_late)
    assert guarded().run(EVENT, fine, LambdaContext(5)).all_succeeded
    assert guarded().run(EVENT, fine, LambdaContext(5)).all_succeeded
    assert len(guards()) == 1


# --- those that are left behind -----------------------------------------------------------------------


def test_too_many_left_behind_are_a_refusal_before_anything_ran_until_one_ends(monkeypatch, blocked):
    monkeypatch.setattr(guard_module, "MOST_LEFT", 2)
    ran, told = [], []

    async def handler(record):
        ran.append(record)

    engine = guarded(hooks=[told.append])
    for _ in range(2):
        assert not blocked().succeeded
    for context in (None, LambdaContext(5)):
        with pytest.raises(BlockedThreadsError, match="2 threads of this process"):
            engine.run(EVENT, handler, context)
    assert not ran
    assert not told
    blocked.release()
    until(lambda: not guards())
    assert engine.run(EVENT, handler).all_succeeded


def test_the_drop_in_is_refused_as_well_where_it_needs_a_guard(monkeypatch, blocked):
    monkeypatch.setattr(guard_module, "MOST_LEFT", 1)
    blocked()

    async def main():
        with pytest.raises(BlockedThreadsError):
            async_process_partial_response(EVENT, fine, AsyncBatchProcessor(event_type=EventType.SQS))

    asyncio.run(main())


def test_a_guard_that_is_left_behind_is_not_used_again(blocked):
    blocked()
    (left,) = guards()
    threads = set()

    async def handler(record):
        threads.add(threading.current_thread())

    assert guarded().run(EVENT, handler).all_succeeded
    assert left not in threads
    blocked.release()
    left.join(20)
    assert guarded().run(EVENT, handler).all_succeeded
    assert len(threads) == 1


class AlarmError(Exception):
    """What a handler of SIGALRM raises."""


@pytest.mark.parametrize("owner", [threading.Thread, guard_module.Guard])
def test_an_alarm_while_a_guard_starts_leaves_no_thread_and_no_work(owner, monkeypatch):
    """It raises in the thread that calls, just when the guard's thread, or its job, has started."""
    started = []
    start = owner.start

    def then_raise(*args):
        start(*args)
        until(lambda: started or owner is threading.Thread)
        raise AlarmError

    async def handler(record):
        started.append(record.id)
        await asyncio.sleep(0.05)

    asyncbatch.shutdown()
    until(lambda: not guards())
    engine = guarded(concurrency=1)
    with monkeypatch.context() as patch:
        patch.setattr(owner, "start", then_raise)
        with pytest.raises(AlarmError):
            engine.run(EVENT, handler, LambdaContext(60.0))
    begun = len(started)
    until(lambda: not guards())
    assert len(started) == begun <= 1
    assert engine.run(EVENT, handler, LambdaContext(60.0)).all_succeeded
