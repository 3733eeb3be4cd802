"""The scheduler itself: slices, timeouts, models, and errors of our own."""

import asyncio
import contextlib
import gc
import statistics
import time
import weakref
from contextvars import ContextVar

import pytest
from histories import virtual_kept_loops

from asyncbatch import BatchEngine, FailureReason, SkipReason, threaded
from asyncbatch import _scheduler as scheduler
from asyncbatch._lanes import SingleLanes
from asyncbatch._loop import kept_loop
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.testing import LambdaContext, run_virtual, sqs_event, sqs_fifo_event

HOW = [False, True] if CAN_START_EAGERLY else [False]


def event(size):
    return sqs_event([str(number) for number in range(size)])


# --- slices -------------------------------------------------------------------------------------------


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def gaps_of_a_heartbeat(main):
    """CPU seconds of this thread between two beats: what the loop was held up for, on a busy machine too."""
    gaps = []

    async def heart():
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            gaps.append(now - last)
            last = now

    async def with_heart():
        beating = asyncio.create_task(heart())
        await asyncio.sleep(0)
        report = await main()
        beating.cancel()
        return report

    return asyncio.run(with_heart()), gaps


@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize("size", [100, 300])
def test_handlers_that_burn_cpu_do_not_hold_up_a_heartbeat(size, eager):
    async def handler(record):
        burn(0.001)

    engine = BatchEngine(concurrency=100, eager=eager)
    worst = []
    for _ in range(3):
        report, gaps = gaps_of_a_heartbeat(lambda: engine.process(event(size), handler))
        assert report.all_succeeded
        worst.append(max(gaps))
    assert statistics.median(worst) < 0.05


@pytest.mark.parametrize("eager", HOW)
def test_handlers_that_never_wait_see_the_deadline_between_records(eager):
    async def handler(record):
        burn(0.005)

    begin = time.monotonic()
    engine = BatchEngine(eager=eager, deadline_margin=0.3)
    report = engine.run(event(5000), handler, LambdaContext(0.5))
    assert time.monotonic() - begin < 2.0
    assert 0 < len(report.succeeded) < 1000
    assert report.outcomes[-1].reason is SkipReason.DEADLINE


@pytest.mark.skipif(not CAN_START_EAGERLY, reason="else bursts grow and shrink: see below")
def test_no_more_than_a_burst_of_records_begins_to_wait_in_one_turn():
    starts = []
    turn = [0]

    async def handler(record):
        starts.append(turn[0])
        if record.text != "5":  # one that never waits is not counted
            await release.wait()

    def count_turns():
        turn[0] += 1
        if len(starts) == 150:
            release.set()
        else:
            asyncio.get_running_loop().call_soon(count_turns)

    async def main():
        count_turns()
        return await BatchEngine(concurrency=150).process(event(150), handler)

    release = asyncio.Event()
    assert asyncio.run(main()).all_succeeded
    assert [starts.count(each) for each in sorted(set(starts))] == [65, 64, 21]


def test_lazy_bursts_grow_while_turns_are_short_and_shrink_while_they_are_long():
    """On a clock that the handlers move: the sizes of the bursts tell."""
    starts = []
    turn = [0]

    with virtual_kept_loops():
        loop = kept_loop().loop

        async def handler(record):
            starts.append(turn[0])
            loop.hold(0.02 if len(starts) > 200 else 0.0)

        def count():
            turn[0] += 1
            if not finished:
                loop.call_soon(count)

        finished = []
        loop.call_soon(count)
        engine = BatchEngine(
            eager=False, hooks=[lambda told: finished.append(1) if len(starts) == 400 else None]
        )
        assert engine.run(event(400), handler).all_succeeded
    sizes = [starts.count(number) for number in sorted(set(starts))]
    assert sizes[:10] == [16, 32, 64, 100, 50, 25, 12, 6, 3, 1]  # never more than the limit, and never none
    assert set(sizes[10:]) == {1}


@pytest.mark.parametrize("eager", HOW)
def test_records_are_started_until_the_deadline_however_near_it_is(eager):
    async def handler(record):
        pass

    # 5 ms before it is reached: less than a slice.
    assert run_virtual(BatchEngine(eager=eager).process(event(3), handler, deadline=0.105)).all_succeeded


@pytest.mark.parametrize("eager", HOW)
def test_no_record_is_started_at_the_deadline_itself(eager):
    budget = 2**-7  # less than a slice, and exact

    async def handler(record):
        asyncio.get_running_loop().hold(budget)

    engine = BatchEngine(eager=eager, deadline_margin=0.25)
    report = run_virtual(engine.process(event(3), handler, deadline=0.25 + budget))
    assert [outcome.position for outcome in report.succeeded] == [0]
    assert {outcome.reason for outcome in report.unsuccessful} == {SkipReason.DEADLINE}


@pytest.mark.parametrize("eager", HOW)
def test_starting_is_no_recursion(eager):
    async def handler(record):
        pass

    engine = BatchEngine(concurrency=1, eager=eager)
    payloads = [str(number) for number in range(3000)]
    assert engine.run(event(3000), handler).all_succeeded
    assert engine.run(sqs_fifo_event(payloads, groups=["g"] * 3000), handler).all_succeeded


@pytest.mark.parametrize("eager", HOW)
def test_outcomes_tell_when_records_started_and_ended(eager):
    async def handler(record):
        await asyncio.sleep(int(record.text))

    async def main():
        await asyncio.sleep(10)
        return await BatchEngine(concurrency=2, eager=eager).process(event(4), handler)

    report = run_virtual(main())
    assert [outcome.started for outcome in report.outcomes] == [10, 10, 10, 11]
    assert [outcome.ended for outcome in report.outcomes] == [10, 11, 12, 14]
    assert report.duration == 4


# --- timeouts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eager", HOW)
def test_a_record_that_swallows_its_timeout_keeps_its_slot_and_its_lane(eager):
    started = {}
    cancels = []

    async def handler(record):
        loop = asyncio.get_running_loop()
        started[record.text] = loop.time()
        if record.text == "0":
            while len(cancels) < 5:
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    cancels.append(loop.time())

    engine = BatchEngine(concurrency=1, record_timeout=1.0, eager=eager)
    with virtual_kept_loops():
        report = engine.run(event(2), handler)
    assert cancels == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4])
    assert started["1"] == pytest.approx(1.4)
    assert report.outcomes[0].reason is FailureReason.TIMED_OUT
    assert "record_timeout (1 s)" in report.outcomes[0].message
    assert [outcome.position for outcome in report.succeeded] == [1]


def test_all_timeouts_share_one_timer():
    timers = []

    async def handler(record):
        await asyncio.sleep(0.5)
        loop = asyncio.get_running_loop()
        timers.append(sum(1 for each in loop._scheduled if not each.cancelled()))

    with virtual_kept_loops():
        engine = BatchEngine(record_timeout=1.0, concurrency=50)
        assert engine.run(event(50), handler).all_succeeded
    assert timers[-1] == 1


def test_timeouts_expire_one_by_one():
    async def handler(record):
        await asyncio.sleep(100)

    with virtual_kept_loops():
        report = BatchEngine(record_timeout=1.0, concurrency=2).run(event(5), handler)
    assert [outcome.ended for outcome in report.outcomes] == [1, 1, 2, 2, 3]
    assert {outcome.reason for outcome in report.outcomes} == {FailureReason.TIMED_OUT}


@pytest.mark.skipif(not CAN_START_EAGERLY, reason="else a record's first step comes a turn later")
def test_a_records_timeout_counts_from_its_start_although_its_first_step_takes_long():
    with virtual_kept_loops():
        loop = kept_loop().loop

        async def handler(record):
            loop.hold(0.75)
            await asyncio.sleep(100)

        report = BatchEngine(record_timeout=1.0).run(event(1), handler)
    assert report.outcomes[0].ended == 1.0


def test_a_timer_keeps_nothing_of_the_record_in_whose_context_it_was_set():
    class Content:
        pass

    pinned = []
    variable = ContextVar("variable")

    async def handler(record):
        if record.text == "0":
            content = Content()
            pinned.append(weakref.ref(content))
            variable.set(content)
            # Its end starts the next record, and the timer for that. (A sleep would pin the context itself.)
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0.0005)

    with virtual_kept_loops():
        report = BatchEngine(record_timeout=0.001, concurrency=1).run(event(2), handler)
        assert [outcome.position for outcome in report.succeeded] == [1]
        gc.collect()
        assert pinned[0]() is None


def test_a_straggler_keeps_nothing_of_a_record_that_was_started_after_it_and_has_ended():
    class Content:
        pass

    contents = []
    variable = ContextVar("variable")

    async def handler(record):
        if record.text == "0":
            while not released:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)
        else:
            content = Content()
            contents.append(weakref.ref(content))
            variable.set(content)

    async def main():
        report = await BatchEngine(grace=0.01).process(event(2), handler, deadline=0.1)
        gc.collect()
        kept = contents[0]()
        released.append(True)
        await asyncio.sleep(0.02)
        return report, kept

    released = []
    report, kept = asyncio.run(main())
    assert len(report.still_running) == 1
    assert kept is None


@pytest.fixture
def begins(monkeypatch):
    """What records that are handled in threads say when their thread starts, in order of the records' starts."""
    noted = []

    class Noted(scheduler.ThreadedRecord):
        def __init__(self, threads, position, begin):
            noted.append(begin)
            super().__init__(threads, position, begin)

    monkeypatch.setattr(scheduler, "ThreadedRecord", Noted)
    return noted


def test_a_thread_that_says_late_that_it_starts_arms_no_timeout(begins):
    @threaded
    def handler(record):
        pass

    async def main():
        loop = asyncio.get_running_loop()
        report = await BatchEngine(record_timeout=5.0).process(event(1), handler)
        timers = [each for each in loop._scheduled if not each.cancelled()]
        begins[0]()
        assert [each for each in loop._scheduled if not each.cancelled()] == timers
        return report

    assert asyncio.run(main()).all_succeeded


def test_a_thread_that_says_after_its_end_that_it_starts_arms_no_timeout(begins):
    @threaded
    def handler(record):
        if record.text == "1":
            # The first has ended by now, and the run has not.
            loops[0].call_soon_threadsafe(begins[0])
            time.sleep(0.05)

    loops = []

    async def main():
        loops.append(asyncio.get_running_loop())
        return await BatchEngine(record_timeout=0.01, concurrency=1).process(event(2), handler)

    report = asyncio.run(main())
    assert [outcome.position for outcome in report.succeeded] == [0]


def test_threads_need_no_timeout(caplog):
    @threaded
    def handler(record):
        pass

    assert BatchEngine().run(event(2), handler).all_succeeded
    assert not caplog.text


def test_a_timeout_counts_from_the_first_time_that_a_thread_says_that_it_starts(monkeypatch):
    marked = threaded(lambda record: None)
    cancellations = []

    async def say_it_twice(_, record):
        """Stands for the thread: what matters is what the loop is told."""
        own = scheduler.threaded_record.get()
        await asyncio.sleep(0)  # a thread says so in a later turn of the loop
        own.begin()
        await asyncio.sleep(3)
        own.begin()
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            cancellations.append(asyncio.get_running_loop().time())
            raise

    monkeypatch.setattr(type(marked), "__call__", say_it_twice)
    report = run_virtual(lambda: BatchEngine(record_timeout=5.0).process(event(1), marked))
    [outcome] = report.outcomes
    assert outcome.reason is FailureReason.TIMED_OUT
    assert outcome.ended == outcome.started + 5.0
    assert cancellations == [outcome.ended]


def test_a_thread_that_says_after_its_timeout_that_it_starts_is_not_given_another(monkeypatch):
    """Both happen in one turn: the place is given, and the time that it was waited for is up."""
    marked = threaded(lambda record: None)

    async def say_it_late(_, record):
        own = scheduler.threaded_record.get()
        await asyncio.sleep(0)
        own.begin()
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            own.begin(after_waiting=True)
            assert not own.begin.func.__self__._expiries
            raise

    monkeypatch.setattr(type(marked), "__call__", say_it_late)
    report = run_virtual(lambda: BatchEngine(record_timeout=5.0).process(event(1), marked))
    assert report.outcomes[0].message == "took longer than record_timeout (5 s)"


# --- cancelled before the first step ------------------------------------------------------------------


def others():
    me = asyncio.current_task()
    return [task for task in asyncio.all_tasks() if task is not me and "record" in task.get_name()]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize("in_own_loop", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_records_that_a_handler_cancels_before_their_first_step_fail_and_free_their_slots(
    ordered, in_own_loop, eager, seed
):
    """A task that is not started eagerly and is cancelled at once ends without a word."""
    ended = []

    async def handler(record):
        if record.text == "0":
            for task in others():
                task.cancel()
        await asyncio.sleep(0.1)
        ended.append(int(record.text))

    size = 12
    batch = event(size)
    if ordered:
        payloads = [str(number) for number in range(size)]
        batch = sqs_fifo_event(payloads, groups=[f"g{number % 8}" for number in range(size)])
    engine = BatchEngine(concurrency=4, eager=eager, record_timeout=30.0)
    if in_own_loop:
        with virtual_kept_loops(seed):
            loop = kept_loop().loop
            report = engine.run(batch, handler)
            assert kept_loop().loop is loop
    else:
        report = run_virtual(engine.process(batch, handler), seed=seed)
    assert [outcome.position for outcome in report.succeeded] == sorted(ended)
    assert not report.still_running
    for outcome in report.unsuccessful:
        assert outcome.reason in {FailureReason.CANCELLED, SkipReason.LANE_HALTED}
    assert len(ended) >= (5 if ordered else size - 3)


def test_what_looks_after_records_before_their_first_step_is_called_once_at_a_time(caplog):
    """Records that end at once and such that are cancelled both have others started, in one turn of the loop."""

    async def handler(record):
        if record.text == "0":
            for task in others():
                task.cancel()
        if record.text == "39":
            await asyncio.sleep(0.01)  # else what is called once too often would be in the next run

    report = BatchEngine(eager=False, concurrency=4).run(event(40), handler)
    assert [outcome.position for outcome in report.unsuccessful] == [1, 2, 3]
    assert "Exception in callback" not in caplog.text


def test_runs_share_nothing_of_what_looks_after_records_before_their_first_step():
    async def handler(record):
        pass

    assert BatchEngine(eager=False).run(event(4), handler).all_succeeded
    assert scheduler._NONE_UNBEGUN == ([], [])


def test_records_before_their_first_step_are_not_started_where_a_handler_stops_the_loop():
    async def handler(record):
        if record.text == "15":  # the last of the first burst: the others are started in the second
            asyncio.get_running_loop().stop()

    report = BatchEngine(eager=False).run(event(40), handler)
    assert [outcome.position for outcome in report.succeeded] == list(range(16))
    assert {outcome.reason for outcome in report.unsuccessful} == {SkipReason.STOPPED}


@pytest.mark.parametrize("eager", HOW)
def test_records_that_a_handler_cancels_fail_as_cancelled_and_say_so(eager):
    """Before their first step or while they wait; all are in flight, so that no later start looks after them."""

    async def handler(record):
        if record.text == ("3" if eager else "0"):
            for task in others():
                task.cancel()
        await asyncio.sleep(0.1)

    with virtual_kept_loops():
        report = BatchEngine(eager=eager).run(event(4), handler)
    assert [outcome.position for outcome in report.succeeded] == [3 if eager else 0]
    assert {outcome.reason for outcome in report.unsuccessful} == {FailureReason.CANCELLED}
    assert {outcome.message for outcome in report.unsuccessful} == {"cancelled by the handler"}
    kind = asyncio.CancelledError if eager else type(None)  # what never began raised nothing
    assert {type(outcome.error) for outcome in report.unsuccessful} == {kind}


@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize("size", [10, 100])  # one that starts in one burst, and one that does not
def test_a_call_that_is_cancelled_before_its_records_took_a_step_ends_at_once(size, eager):
    ran = []

    async def handler(record):
        ran.append(record.text)
        await asyncio.sleep(100)

    async def main():
        engine = BatchEngine(eager=eager, concurrency=50)
        call = asyncio.create_task(engine.process(event(size), handler))
        asyncio.get_running_loop().call_soon(call.cancel)
        with pytest.raises(asyncio.CancelledError):
            await call
        assert asyncio.get_running_loop().time() == 0.0

    run_virtual(main())
    assert len(ran) <= 50


@pytest.mark.parametrize("eager", HOW)
def test_a_call_that_is_cancelled_while_only_records_before_their_first_step_are_left_ends_at_once(eager):
    calls = []

    async def handler(record):
        if record.text == "15":  # the last of the first burst: the others are started in the second
            calls[0].cancel()

    async def main():
        calls.append(asyncio.create_task(BatchEngine(eager=eager).process(event(40), handler)))
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        assert asyncio.get_running_loop().time() == 0.0

    run_virtual(main())


@pytest.mark.parametrize("eager", HOW)
def test_a_cancellation_that_is_pending_at_the_return_is_named(eager):
    async def handler(record):
        asyncio.current_task().cancel()

    (failed,) = BatchEngine(eager=eager).run(event(1), handler).outcomes
    assert failed.reason is FailureReason.CANCELLED
    assert failed.message == "a cancellation was pending when the handler returned"


# --- models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eager", HOW)
def test_a_payload_that_does_not_fit_the_model_fails_its_record_alone(eager):
    ran = []

    async def handler(record):
        ran.append(record.payload)

    engine = BatchEngine(model=dict[str, int], eager=eager)
    report = engine.run(sqs_event(['{"a": 1}', '{"a": "secret"}', "no json", '{"b": 2}']), handler)
    assert ran == [{"a": 1}, {"b": 2}]
    assert [outcome.reason for outcome in report.unsuccessful] == [FailureReason.INVALID_PAYLOAD] * 2
    assert all(isinstance(outcome.error, ValueError) for outcome in report.unsuccessful)
    assert "secret" not in report.summary()


@pytest.mark.parametrize("eager", HOW)
def test_a_record_whose_payload_does_not_fit_the_model_is_not_handled(eager):
    ran = []

    async def handler(record):
        ran.append(record.text)

    engine = BatchEngine(model=dict[str, int], eager=eager)
    engine.run(sqs_event(['{"a": 1}', "no json"]), handler)
    assert ran == ['{"a": 1}']


@pytest.mark.parametrize("eager", HOW)
def test_a_result_that_is_work_undone_is_refused_with_what_is_missing(eager):
    async def handler(record):
        return asyncio.sleep(0)

    (failed,) = BatchEngine(eager=eager).run(event(1), handler).outcomes
    assert failed.reason is FailureReason.REFUSED
    assert failed.message == ("the handler returned a coroutine that nothing awaited: is an `await` missing?")
    assert failed.error is None


# --- errors of our own --------------------------------------------------------------------------------


class OurError(Exception):
    pass


def broken(*args):
    raise OurError


@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize("in_own_loop", [True, False])
def test_an_error_of_our_own_is_raised_and_leaves_nothing_behind(in_own_loop, suspends, eager, monkeypatch):
    async def handler(record):
        if suspends:
            await asyncio.sleep(0.001)
        if record.text == "1":
            raise ValueError

    engine = BatchEngine(eager=eager, concurrency=2)
    with monkeypatch.context() as patch:
        patch.setattr(SingleLanes, "settle", broken)
        with pytest.raises(OurError):
            if in_own_loop:
                engine.run(event(5), handler)
            else:
                asyncio.run(engine.process(event(5), handler))
    assert len(engine.run(event(5), handler).unsuccessful) == 1


@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize("in_own_loop", [True, False])
def test_an_error_while_starting_is_raised_and_cancels_what_is_in_flight(in_own_loop, eager, monkeypatch):
    cancelled = []

    async def handler(record):
        try:
            await asyncio.sleep(100)
        finally:
            cancelled.append(record.text)

    copies = []

    class Context:
        def copy(self):
            if copies:
                raise OurError
            copies.append(1)
            return scheduler.Context()

    engine = BatchEngine(eager=eager, concurrency=2)
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "copy_context", Context)
        with pytest.raises(OurError):
            if in_own_loop:
                engine.run(event(5), handler)
            else:
                asyncio.run(engine.process(event(5), handler))
    # A task that never took its first step has nothing to clean up.
    assert cancelled == ["0"] or (not eager and not cancelled)
    assert kept_loop().loop.run_until_complete(asyncio.sleep(0)) is None
