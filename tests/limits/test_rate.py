"""Records per second, evenly: over a run, over loops, over a freeze, together with a limit."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import BatchEngine, InvalidOptionError, SkipReason
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.limits import AIMDLimit, RateLimit
from asyncbatch.testing import (
    LambdaContext,
    VirtualClock,
    VirtualLoop,
    run_virtual,
    sqs_event,
    sqs_fifo_event,
)

CREDIT = 0.01


def starts(engine, event, *, lasts=0.0, **options):
    """When each record started, in virtual time."""
    times = []

    async def handler(record):
        times.append(asyncio.get_running_loop().time())
        if lasts:
            await asyncio.sleep(lasts)

    report = run_virtual(engine.process(event, handler, **options))
    return times, report


def even(rate, count, begin=0.0):
    """When records are due that start at ``begin``, a credit ahead."""
    return [max(begin, begin - CREDIT + at / rate) for at in range(count)]


@pytest.mark.parametrize("lasts", [0.0, 0.3])
@pytest.mark.parametrize("eager", [False, True] if CAN_START_EAGERLY else [False])
def test_records_start_evenly(lasts, eager):
    times, report = starts(BatchEngine(rate_limit=4, eager=eager), sqs_event([{}] * 9), lasts=lasts)
    assert times == pytest.approx(even(4, 9))
    assert report.all_succeeded


def test_many_a_second_keep_the_rate_in_spite_of_the_timers_grain():
    times, _ = starts(BatchEngine(rate_limit=5_000), sqs_event([{}] * 1_000))
    assert times[-1] == pytest.approx(0.2, abs=0.011)


def test_a_burst_goes_first():
    times, _ = starts(BatchEngine(rate_limit=RateLimit(2, burst=3)), sqs_event([{}] * 6))
    assert times == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5])


def test_the_limit_holds_as_well():
    times, _ = starts(BatchEngine(concurrency=2, rate_limit=10), sqs_event([{}] * 6), lasts=1.0)
    assert times == pytest.approx([0, 0.09, 1.0, 1.09, 2.0, 2.09])


def test_lanes_hold_as_well():
    event = sqs_fifo_event([{}] * 4, groups=["a", "a", "b", "b"])
    times, _ = starts(BatchEngine(rate_limit=10), event, lasts=1.0)
    assert times == pytest.approx([0, 0.09, 1.0, 1.09])


def test_it_goes_with_a_limit_that_moves():
    engine = BatchEngine(concurrency=AIMDLimit(initial=1), rate_limit=100)
    times, report = starts(engine, sqs_event([{}] * 60), lasts=0.1)
    assert report.all_succeeded
    assert min(later - before for before, later in itertools.pairwise(times)) >= 0.01 - CREDIT - 1e-9


def test_the_deadline_comes_while_it_waits():
    times, report = starts(BatchEngine(rate_limit=0.1), sqs_event([{}] * 3), deadline=5.0)
    assert len(times) == 1
    assert [outcome.reason for outcome in report.outcomes[1:]] == [SkipReason.DEADLINE] * 2


def test_nothing_waits_for_a_turn_that_comes_after_the_deadline():
    async def handler(record):
        pass

    async def main():
        await BatchEngine(rate_limit=0.01).process(sqs_event([{}] * 3), handler, deadline=60)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0.0


def test_nothing_waits_for_a_record_that_will_not_start():
    """The second record's lane is halted: there is no reason to wait ten seconds for its turn."""

    async def fails(record):
        await asyncio.sleep(0.1)
        raise ValueError

    async def main():
        await BatchEngine(rate_limit=0.1).process(sqs_fifo_event([{}, {}], groups=["a", "a"]), fails)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(0.1)


def test_a_cancelled_run_does_not_wait():
    async def handler(record):
        await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(BatchEngine(rate_limit=0.01).process(sqs_event([{}] * 3), handler))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(1.0)


def test_the_rate_is_kept_over_invocations_and_a_new_loop():
    from asyncbatch._loop import discard_loop

    with VirtualClock() as clock:
        engine, times = BatchEngine(rate_limit=1), []

        async def handler(record):
            times.append(clock.time())

        for _ in range(2):
            engine.run(sqs_event([{}] * 2), handler, LambdaContext(60, clock=clock.time))
        discard_loop()
        engine.run(sqs_event([{}]), handler, LambdaContext(60, clock=clock.time))
    assert [later - before for before, later in itertools.pairwise(times)] == pytest.approx([0.99, 1, 1, 1])


def test_after_a_freeze_there_is_one_burst_not_the_quota_of_the_night():
    with VirtualClock() as clock:
        engine, times = BatchEngine(rate_limit=RateLimit(1, burst=2)), []

        async def handler(record):
            times.append(clock.time())

        engine.run(sqs_event([{}] * 2), handler, LambdaContext(60, clock=clock.time))
        clock.advance(3_600)
        thawed = clock.time()
        engine.run(sqs_event([{}] * 4), handler, LambdaContext(60, clock=clock.time))
    assert times[2:] == pytest.approx([thawed, thawed, thawed + 1, thawed + 2])


def test_another_clock_does_not_stop_it():
    """A loop whose clock begins at zero again: nothing waits for the old one's time."""
    rate = RateLimit(1)
    for _ in range(2):
        loop = VirtualLoop()
        if _ == 0:
            loop.run_until_complete(asyncio.sleep(5_000))
        now = loop.time()
        rate.take(now)
        assert rate.take(now) <= now + 1
        loop.close()


def test_engines_that_share_the_object_share_the_rate():
    rate, times = RateLimit(1), []

    async def handler(record):
        times.append(asyncio.get_running_loop().time())

    async def main():
        engines = [BatchEngine(rate_limit=rate), BatchEngine(rate_limit=rate, concurrency=3)]
        async with asyncio.TaskGroup() as group:
            for engine in engines:
                group.create_task(engine.process(sqs_event([{}] * 3), handler))

    run_virtual(main())
    assert times == pytest.approx(even(1, 6))


def test_a_number_gives_each_engine_a_rate_of_its_own():
    first, second = BatchEngine(rate_limit=1), BatchEngine(rate_limit=1)
    assert first.rate is not second.rate


@given(
    per_second=st.floats(0.1, 10_000),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 2), min_size=1, max_size=100),
)
def test_over_any_time_no_more_than_the_rate_and_the_credit(per_second, burst, gaps):
    rate, now, taken = RateLimit(per_second, burst=burst), 0.0, []
    for gap in gaps:
        now += gap
        while (due := rate.take(now)) > now:
            now = due
        taken.append(now)
    credit = max((burst - 1) / per_second, CREDIT)
    for at, begin in enumerate(taken):
        for count, end in enumerate(taken[at:]):
            assert count <= (end - begin + credit) * per_second + 1e-6


@given(per_second=st.floats(0.1, 10_000), late=st.floats(0, 0.009))
def test_timers_that_come_late_do_not_lower_the_rate(per_second, late):
    rate, now, number = RateLimit(per_second), 0.0, 200
    for _ in range(number):
        while (due := rate.take(now)) > now:
            now = due + late
    assert now <= number / per_second + 0.02


@pytest.mark.parametrize("wrong", [0, -1, "9", True, float("nan")])
def test_what_is_no_rate_is_refused(wrong):
    with pytest.raises(InvalidOptionError, match="rate_limit: must be a number above 1e-09"):
        BatchEngine(rate_limit=wrong)


def test_a_rate_limit_shows_itself():
    assert repr(RateLimit(20, burst=5)) == "RateLimit(20, burst=5)"
    assert repr(RateLimit(0.5)) == "RateLimit(0.5)"
