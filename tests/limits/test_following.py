"""What a run tells a limit, and how it follows one."""

import asyncio
import logging

import pytest

from asyncbatch import BatchEngine, InvalidOptionError, batch_handler, threaded
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.hooks import BatchStarted, LimitChanged
from asyncbatch.limits import AdaptiveLimit, AIMDLimit, FixedLimit, Verdict
from asyncbatch.testing import DeadlockError, kinesis_event, run_virtual, sqs_event


class Unreadable:
    observe = is_drop = print

    @property
    def current(self):
        raise RuntimeError


EAGER = pytest.mark.parametrize("eager", [False, True] if CAN_START_EAGERLY else [False])


class Diary:
    """A limit that stays, and writes down what it is told."""

    def __init__(self, current=3):
        self.current = current
        self.told = []

    def observe(self, verdict, latency, in_flight):
        self.told.append((verdict, pytest.approx(latency, abs=1e-9), in_flight))

    def is_drop(self, error):
        return isinstance(error, ConnectionError)

    @property
    def verdicts(self):
        return [verdict for verdict, _, _ in self.told]


class Script(Diary):
    """A limit that takes the next value at each end."""

    def __init__(self, initial, *values):
        super().__init__(initial)
        self.values = list(values)

    def observe(self, verdict, latency, in_flight):
        if self.values:
            self.current = self.values.pop(0)


def process(engine, handler, size, **options):
    return run_virtual(engine.process(sqs_event([{"n": at} for at in range(size)]), handler, **options))


class Awaited(Diary):
    async def observe(self, verdict, latency, in_flight):
        pass


async def waits(record):
    await asyncio.sleep(0.1)


@EAGER
def test_the_first_flight_and_the_end_of_a_batch_are_told_as_no_evidence(eager):
    """Ten records at three: the first three meet an idle backend; the last have fewer and fewer beside them."""

    async def one_after_another(record):
        await asyncio.sleep(0.1 + record.json()["n"] / 64)

    limit = Diary(3)
    process(BatchEngine(concurrency=limit, eager=eager), one_after_another, 10)
    first, full, last = [1, 1, 1], [3, 3, 3, 3, 3], [1, 1]
    assert limit.told == [
        (Verdict.SUCCESS, 0.1 + n / 64, told) for n, told in enumerate([*first, *full, *last])
    ]


@EAGER
def test_drops_are_told_with_what_was_in_flight_also_at_the_end_of_a_batch(eager):
    async def refused(record):
        await asyncio.sleep(0.1)
        raise ConnectionError

    limit = Diary(5)
    process(BatchEngine(concurrency=limit, eager=eager), refused, 3)
    assert limit.told == [(Verdict.DROPPED, 0.1, 3)] * 3


def test_a_drop_that_others_have_overtaken_is_none():
    """Record 0 times out while others come and go; record 9 is as slow as those beside it."""

    async def handler(record):
        number = record.json()["n"]
        await asyncio.sleep(5.0 if number == 0 else 0.1)
        if number in {0, 9}:
            raise ConnectionError

    limit = Diary(2)
    process(BatchEngine(concurrency=limit), handler, 20)
    assert limit.verdicts.count(Verdict.DROPPED) == 1
    assert limit.told[-1] == (Verdict.IGNORED, 5.0, 2)


@EAGER
def test_an_application_error_is_no_sample(eager):
    async def fails(record):
        await asyncio.sleep(0.1)
        raise ValueError

    limit = Diary(1)
    process(BatchEngine(concurrency=limit, eager=eager), fails, 3)
    assert limit.verdicts == [Verdict.IGNORED] * 3


@EAGER
def test_a_record_timeout_is_a_drop_whatever_the_handler_makes_of_it(eager):
    async def swallows(record):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return

    limit = Diary(2)
    process(BatchEngine(concurrency=limit, record_timeout=0.5, eager=eager), swallows, 4)
    assert limit.told == [(Verdict.DROPPED, 0.5, n) for n in (2, 2, 2, 2)]


def test_a_handler_that_cancels_itself_and_one_that_returns_a_coroutine_are_no_samples():
    async def odd(record):
        await asyncio.sleep(0.1)
        if record.json()["n"]:
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
        return waits(record)

    limit = Diary(5)
    process(BatchEngine(concurrency=limit), odd, 2)
    assert limit.verdicts == [Verdict.IGNORED] * 2


@pytest.mark.skipif(not CAN_START_EAGERLY, reason="every record waits for its task's first turn")
def test_who_never_waits_says_nothing_of_latency_but_may_be_dropped():
    async def handler(record):
        if record.json()["n"] == 1:
            raise ConnectionError

    limit = Diary(2)
    process(BatchEngine(concurrency=limit, eager=True), handler, 4)
    assert limit.told == [(Verdict.DROPPED, 0.0, 1)]


def test_the_deadline_is_no_drop():
    limit = Diary(2)
    process(BatchEngine(concurrency=limit), waits, 9, deadline=0.35)
    assert limit.verdicts == [Verdict.SUCCESS] * 4


def test_what_spans_a_freeze_says_nothing():
    """The loop stands still for ten seconds while two are in flight; those after it are samples again."""

    async def handler(record):
        if record.json()["n"] == 4:
            asyncio.get_running_loop().hold(10.0)
        await asyncio.sleep(1.0)

    limit = Diary(3)
    process(BatchEngine(concurrency=limit), handler, 12)
    assert all(latency == 1.0 for _, latency, _ in limit.told)
    assert len(limit.told) >= 12 - 3  # two were in flight; where tasks start lazily, a third


@pytest.mark.parametrize("fails", [False, True])
def test_what_ends_before_the_late_look_at_the_clock_says_nothing_either(fails):
    """Three end in the very turn in which the first held the loop for five seconds."""

    async def handler(record):
        await asyncio.sleep(0.3)
        if record.json()["n"] == 0:
            asyncio.get_running_loop().hold(5.0)
        if fails:
            raise ConnectionError

    limit = Diary(4)
    process(BatchEngine(concurrency=limit), handler, 4)
    assert all(latency == 0.3 for _, latency, _ in limit.told)
    assert len(limit.told) < 3


def test_timeouts_that_a_freeze_made_say_nothing():
    async def handler(record):
        if record.json()["n"] == 2:
            asyncio.get_running_loop().hold(10.0)
        await asyncio.sleep(0.5)

    limit = Diary(3)
    report = process(BatchEngine(concurrency=limit, record_timeout=2.0), handler, 3)
    assert limit.told == []
    assert len(report.unsuccessful) == 3


def test_a_busy_loop_is_no_freeze():
    async def handler(record):
        asyncio.get_running_loop().hold(0.05)
        await asyncio.sleep(0.01)

    limit = Diary(2)
    process(BatchEngine(concurrency=limit), handler, 20)
    assert len(limit.told) >= 16


@EAGER
def test_in_flight_follows_the_limit_down_and_up(eager):
    in_flight, seen = 0, []

    async def handler(record):
        nonlocal in_flight
        in_flight += 1
        seen.append(in_flight)
        await asyncio.sleep(0.1 + record.json()["n"] / 1_000)
        in_flight -= 1

    # Four at first. At the first end 1: nothing starts until three more have ended. Then 3.
    limit = Script(4, 1, 1, 1, 1, 3, 3, 3)
    process(BatchEngine(concurrency=limit, eager=eager), handler, 10)
    assert seen[:4] == [1, 2, 3, 4]
    assert seen[4:] == [1, 1, 2, 3, 3, 3]


def test_hooks_are_told():
    events = []
    limit = Script(2, 2, 5, 5, 1)
    process(BatchEngine(concurrency=limit, hooks=[events.append]), waits, 12)
    assert [event for event in events if isinstance(event, LimitChanged)] == [
        LimitChanged(2, 5),
        LimitChanged(5, 1),
    ]
    assert events[0] == BatchStarted(events[0].source, 12, 2)


def test_lanes_hold_back_more_than_the_limit():
    """One lane: one in flight, whatever the limit; what is told says so."""
    limit = Diary(5)
    event = kinesis_event([{}] * 4, keys=["one"] * 4)
    run_virtual(BatchEngine(concurrency=limit).process(event, waits))
    assert [in_flight for _, _, in_flight in limit.told] == [0] * 4


def test_engines_and_invocations_share_what_is_learnt():
    limit = AIMDLimit(initial=2)
    first, second = BatchEngine(concurrency=limit), BatchEngine(concurrency=limit, record_timeout=9)
    process(first, waits, 20)
    grown = limit.current
    assert grown > 2
    process(second, waits, 60)
    assert limit.current > grown


async def refuses_nothing(record):
    await asyncio.sleep(0.1)


def test_a_limit_below_one_counts_as_one():
    class Zero(Diary):
        def observe(self, verdict, latency, in_flight):
            self.current = -7

    report = process(BatchEngine(concurrency=Zero(2)), waits, 5)
    assert report.all_succeeded


class Moody(Diary):
    """Can be read once, when the engine is made, and once when a batch begins."""

    reads = 0

    def __init__(self):
        self.told = []

    @property
    def current(self):
        self.reads += 1
        if self.reads > 3:
            raise RuntimeError("mine")
        return 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_limit_that_cannot_be_read_any_more_costs_no_record(fails, caplog):
    async def handler(record):
        await asyncio.sleep(0.1)
        if fails:
            raise ValueError

    with caplog.at_level(logging.ERROR):
        report = process(BatchEngine(concurrency=Moody()), handler, 6)
    assert len(report.succeeded) == (0 if fails else 6)
    assert "Moody raised, and the limit stays at 2: RuntimeError: mine" in caplog.text


@pytest.mark.parametrize("where", ["observe", "is_drop", "current"])
def test_a_limit_that_raises_costs_no_record(where, caplog):
    class Broken(Diary):
        def observe(self, verdict, latency, in_flight):
            if where == "observe":
                raise RuntimeError("mine")
            if where == "current":
                self.current = "nine"

        def is_drop(self, error):
            raise RuntimeError("mine")

    async def some_fail(record):
        await asyncio.sleep(0.1)
        if record.json()["n"] % 2:
            raise ValueError

    with caplog.at_level(logging.ERROR):
        report = process(BatchEngine(concurrency=Broken(2)), some_fail, 6)
    assert len(report.succeeded) == 3
    assert "Broken" in caplog.text


def test_threads_follow_the_limit():
    import threading

    lock, running, most = threading.Lock(), 0, []

    @threaded
    def work(record):
        nonlocal running
        with lock:
            running += 1
            most.append(running)
        threading.Event().wait(0.02)
        with lock:
            running -= 1

    report = BatchEngine(concurrency=Script(1, 1, 4, 4, 4)).run(sqs_event([{}] * 24), work)
    assert report.all_succeeded
    assert max(most[:2]) == 1
    assert max(most) == 4


def test_the_decorator_takes_a_limit():
    limit = AdaptiveLimit(maximum=50)

    @batch_handler(concurrency=limit, rate_limit=1_000)
    async def handler(record):
        pass

    assert handler.engine.concurrency is limit
    assert handler(sqs_event([{}] * 3)) == {"batchItemFailures": []}


def test_a_fixed_limit_is_a_number():
    report = process(BatchEngine(concurrency=FixedLimit(2)), waits, 5)
    assert report.duration == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (AIMDLimit, "Limits are objects of asyncbatch.limits, such as AdaptiveLimit()."),
        (object(), "Limits are objects"),
        (Diary(0), "must be a whole number from 1 on, or a limit, but is"),
        (Diary("3"), "must be a whole number from 1 on, or a limit, but is"),
        (Unreadable(), "must be a whole number from 1 on, or a limit, but is"),
        (Awaited(3), "must be a whole number from 1 on, or a limit, but is"),
        (-(10**5_000), "a very long number"),
    ],
    ids=[
        "a class",
        "an object",
        "a limit of 0",
        "a limit of text",
        "one that raises",
        "async",
        "a long number",
    ],
)
def test_what_is_no_limit_is_refused(wrong, text):
    with pytest.raises(InvalidOptionError, match="concurrency:") as caught:
        BatchEngine(concurrency=wrong)
    assert text in str(caught.value)


@pytest.mark.parametrize("limit", [3, Diary(3)], ids=["fixed", "moving"])
def test_a_handler_that_waits_for_ever_is_a_deadlock_in_virtual_time(limit):
    async def waits_for_ever(record):
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError):
        process(BatchEngine(concurrency=limit), waits_for_ever, 2)
