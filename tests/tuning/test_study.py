"""Whole studies in virtual time: the known knee is found, and what is no knee is called what it is."""

import asyncio
import random
import sys

import pytest

from asyncbatch import EventSource, InvalidEventError, batch_handler
from asyncbatch.testing import SimulatedBackend, sample_event
from asyncbatch.tuning import NothingToTuneError, Plan, Reason, tune

from .conftest import EVENT, calling

BACKENDS = {
    "5 servers": {"servers": 5},
    "20 servers": {"servers": 20},
    "50 servers": {"servers": 50},
    "equal service": {"servers": 12, "distribution": "fixed"},
    "thrash": {"servers": 20, "thrash": 0.02},
    "much thrash": {"servers": 8, "thrash": 0.2},
    "short queue": {"servers": 20, "queue_limit": 10},
    "no queue": {"servers": 20, "queue_limit": 0},
    "slow tail": {"servers": 20, "slow_share": 0.02, "slow_factor": 10.0},
    "slow service": {"servers": 10, "service_time": 2.0},
}


def study_of(handler, event=EVENT, **plan):
    return tune(handler, event, Plan(rounds=plan.pop("rounds", 4), **plan), virtual_time=True)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", BACKENDS)
def test_the_known_knee_is_recommended_within_20_percent(name, seed):
    backend = SimulatedBackend(**BACKENDS[name], seed=seed)
    study = study_of(calling(backend), seed=seed)
    made = study.recommendation
    assert made.limit == pytest.approx(backend.knee, rel=0.2)
    assert made.reason in {Reason.KNEE, Reason.DROPS}
    assert study.chosen.throughput >= 0.8 * backend.knee / _mean_service(backend, name)
    assert study.chosen.tally.drops <= 0.01 * study.chosen.tally.tried


def _mean_service(backend, name):
    return backend.service_time * (1.18 if name == "slow tail" else 1.0)


def test_the_same_seed_gives_the_same_study(study):
    again = tune(
        calling(SimulatedBackend(servers=5, queue_limit=10, seed=3)), EVENT, Plan(rounds=3), virtual_time=True
    )
    assert again.recommendation == study.recommendation
    assert [point.throughput for point in again.points] == [point.throughput for point in study.points]
    assert [trace.moves for trace in again.traces] == [trace.moves for trace in study.traces]


def test_limits_that_are_given_are_those_that_are_run():
    study = study_of(calling(SimulatedBackend(servers=4)), limits=(8, 1, 4, 4), rounds=2, warm_up=0)
    assert [point.limit for point in study.points] == [1, 4, 8]
    assert all(len(point.runs) == 2 for point in study.points)


def test_rounds_to_warm_up_do_not_count():
    calls = 0

    @batch_handler
    async def slow_at_first(record):
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.1 if calls > 500 else 5.0)

    study = study_of(slow_at_first, limits=(1, 2), records=100, rounds=2, warm_up=3)
    assert [len(point.runs) for point in study.points[:2]] == [2, 2]
    assert study.points[0].latency(99) == pytest.approx(0.1)


def test_identifiers_are_the_same_each_time_in_virtual_time_and_never_again_in_real_time():
    def identifiers(*, virtual):
        seen = []

        @batch_handler
        async def handler(record):
            seen.append(record.id)
            await asyncio.sleep(0.001)

        plan = Plan(limits=(1, 4), rounds=1, warm_up=0, records=10, time_budget=1.0)
        tune(handler, EVENT, plan, virtual_time=virtual)
        return seen[:10]

    assert identifiers(virtual=True) == identifiers(virtual=True)
    assert set(identifiers(virtual=False)).isdisjoint(identifiers(virtual=False))


def test_limits_in_the_free_range_alone_show_no_knee():
    study = study_of(calling(SimulatedBackend(servers=50)), limits=(1, 2, 4, 8), batch_size=100)
    made = study.recommendation
    assert (made.reason, made.confidence) == (Reason.BATCH, "low")
    assert made.limit <= 8
    assert "no knee up to there" in made.why[0]


def test_what_never_slows_down_is_bounded_by_its_batch():
    @batch_handler
    async def handler(record):
        await asyncio.sleep(0.1)

    study = study_of(handler, rounds=1, batch_size=40)
    assert study.recommendation.reason is Reason.BATCH
    assert study.recommendation.limit == 40  # equal records: all at once


def test_lanes_are_named_where_they_are_the_bound():
    event = sample_event(EventSource.SQS_FIFO, 60, keys=6)
    study = study_of(calling(SimulatedBackend(servers=50, distribution="fixed")), event)
    made = study.recommendation
    assert (made.reason, made.limit) == (Reason.LANES, 6)
    assert study.ordered
    assert study.lanes.lanes == 6
    assert {bar.lane for bar in study.timeline} <= set(range(6))


def test_lanes_are_not_blamed_for_the_knee_of_the_backend():
    event = sample_event(EventSource.KINESIS, 200, keys=100)
    study = study_of(calling(SimulatedBackend(servers=5, distribution="fixed")), event)
    assert study.recommendation.reason is Reason.KNEE
    assert study.recommendation.limit == pytest.approx(5, rel=0.2)


def test_what_serves_one_at_a_time_needs_no_more():
    study = study_of(calling(SimulatedBackend(servers=1, distribution="fixed")))
    made = study.recommendation
    assert (made.reason, made.limit) == (Reason.SERIAL, 1)


def test_errors_of_its_own_are_no_reason_to_have_less_in_flight():
    backend = SimulatedBackend(servers=10, seed=1)
    rng = random.Random(1)

    @batch_handler
    async def handler(record):
        await backend.call()
        if rng.random() < 0.1:
            raise ValueError("one in ten")

    made = study_of(handler).recommendation
    assert made.reason is Reason.KNEE
    assert made.limit == pytest.approx(10, rel=0.2)


def test_errors_hold_nothing_back_while_a_stream_is_measured():
    backend = SimulatedBackend(servers=10, seed=1)
    rng = random.Random(1)

    @batch_handler
    async def handler(record):
        await backend.call()
        if rng.random() < 0.05:
            raise ValueError("one in twenty")

    study = study_of(handler, sample_event(EventSource.KINESIS, 300, keys=150))
    assert study.recommendation.limit == pytest.approx(10, rel=0.2)
    assert sum(point.tally.held_back for point in study.points) == 0
    assert study.chosen.tally.errors > 0


def test_timeouts_bound_the_limit_and_are_counted():
    in_flight = 0

    @batch_handler
    async def handler(record):
        nonlocal in_flight
        in_flight += 1
        try:
            await asyncio.sleep(1.0 if in_flight <= 10 else 2.0)
        finally:
            in_flight -= 1

    study = study_of(handler, record_timeout=1.5)
    made = study.recommendation
    assert made.reason is Reason.DROPS
    assert 8 <= made.limit <= 10
    assert "time out" in made.why[0]
    assert study.points[-1].tally.timeouts > 0


class TestNothing:
    def test_where_all_fail(self):
        @batch_handler
        async def handler(record):
            raise LookupError("no table")

        with pytest.raises(
            NothingToTuneError, match=r"did not succeed, the first because of LookupError: no table"
        ):
            study_of(handler)

    def test_where_most_time_out_even_alone(self):
        with pytest.raises(NothingToTuneError, match="did not succeed"):
            study_of(calling(SimulatedBackend(servers=1, service_time=1.0)), record_timeout=0.1)

    def test_where_some_are_dropped_even_alone(self):
        rng = random.Random(1)

        @batch_handler
        async def handler(record):
            await asyncio.sleep(0.1)
            if rng.random() < 0.2:
                raise TimeoutError

        with pytest.raises(NothingToTuneError, match="Even at limit 1"):
            study_of(handler)

    def test_where_the_handler_takes_no_time(self):
        @batch_handler
        async def handler(record):
            return

        with pytest.raises(NothingToTuneError, match="takes no time at all on the virtual clock"):
            study_of(handler)

    def test_where_the_event_has_no_records(self):
        with pytest.raises(InvalidEventError, match="no records to repeat"):
            study_of(calling(SimulatedBackend()), {"Records": []})


def test_a_handler_that_never_waits_is_told_so_in_real_time():
    @batch_handler
    async def handler(record):
        sum(range(2000))

    plan = Plan(limits=(1, 8), rounds=3, warm_up=0, records=40)
    if sys.version_info < (
        3,
        12,
    ):  # tasks do not start eagerly: records that wait for their first step look in flight
        assert tune(handler, EVENT, plan).recommendation.reason is Reason.SERIAL
        return
    with pytest.raises(NothingToTuneError, match="never waits"):
        tune(handler, EVENT, plan)


def test_the_time_budget_ends_the_rounds():
    @batch_handler
    async def handler(record):
        await asyncio.sleep(0.002)

    plan = Plan(limits=(1, 4), rounds=1000, records=20, time_budget=0.5)
    study = tune(handler, EVENT, plan)
    assert 1 <= len(study.points[0].runs) < 1000
    assert not study.virtual


def test_runs_of_a_slow_handler_are_short_where_there_is_a_time_budget():
    backend = SimulatedBackend(servers=8, service_time=10.0, distribution="fixed")
    study = study_of(calling(backend), limits=(1, 8, 16), time_budget=60.0)
    assert [point.runs[0].tally.tried for point in study.points] == [10, 32, 64]
    assert study.recommendation.limit == 8


def test_progress_is_told_in_order():
    steps = []
    tune(
        calling(SimulatedBackend(servers=3)),
        EVENT,
        Plan(limits=(1, 3, 6), rounds=2),
        virtual_time=True,
        on_progress=steps.append,
    )
    rounds = [step for step in steps if step.total == 9]  # one to warm up, two that count
    assert [step.done for step in rounds] == list(range(9))
    assert rounds[0].stage == "warming up, limit 1"
    assert rounds[-1].stage == "round 2, limit 6"


def test_adaptive_limits_start_cold_and_their_moves_are_seen(study):
    names = [trace.name for trace in study.traces]
    assert names == ["AdaptiveLimit", "AIMDLimit", "Gradient2Limit"]
    for trace in study.traces:
        times = [at for at, _ in trace.moves]
        assert times == sorted(times)
        assert times[0] == 0
        assert times[-1] <= trace.run.duration
        assert trace.run.tally.tried >= 1000
        assert trace.warm.tally.tried == trace.run.tally.tried
        assert trace.run.limit == trace.moves[-1][1]
        assert min(limit for _, limit in trace.moves) <= trace.mean <= max(limit for _, limit in trace.moves)


def test_the_timeline_puts_no_two_records_into_one_slot(study):
    slots = {}
    for bar in sorted(study.timeline, key=lambda bar: bar.started):
        assert slots.get(bar.lane, 0.0) <= bar.started
        slots[bar.lane] = bar.ended
    assert len(slots) == study.recommendation.limit
