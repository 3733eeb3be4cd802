"""The laws of the engine, on a virtual clock: batches of every kind, with handlers of every kind."""

import asyncio
import itertools
import random

import pytest
from fates import BY_KIND, ENDLESS, Fate
from histories import BY_FUNCTION, Case, draw, live_through, virtual_kept_loops
from hypothesis import given
from hypothesis import strategies as st
from laws import broken_laws

from asyncbatch import BatchEngine, EventSource, FailureScope, Ordering, SequenceOrderError
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.testing import kafka_event, kinesis_event, run_virtual, sqs_fifo_event

HOW = [False, True] if CAN_START_EAGERLY else [False]


@given(st.randoms(use_true_random=False))
def test_laws_hold_whatever_is_drawn(rng):
    seen = live_through(draw(rng))
    assert not broken_laws(seen), seen.case


@pytest.mark.parametrize("start", range(0, 1000, 250))
def test_laws_hold_for_numbered_histories(start):
    for seed in range(start, start + 250):
        broken = broken_laws(live_through(draw(random.Random(seed))))
        assert not broken, f"seed {seed}"


def test_histories_replay():
    for seed in range(40):
        first, second = (live_through(draw(random.Random(seed))) for _ in range(2))
        assert first.log == second.log
        assert first.reply == second.reply


SHAPES = [
    (source, ordering, scope)
    for source, ordering, scope in itertools.product(EventSource, [*Ordering, BY_FUNCTION], FailureScope)
    if not (source is EventSource.SQS and ordering is Ordering.BY_KEY)
    and not (scope is FailureScope.RECORD and ordering is not Ordering.UNORDERED)
]


@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize(("source", "ordering", "scope"), SHAPES)
def test_laws_hold_in_every_shape(source, ordering, scope, eager):
    """Every legal combination, with a handler of every kind in it."""
    kinds = list(BY_KIND)
    random.Random(f"{source} {ordering} {scope}").shuffle(kinds)
    size = len(kinds)
    for in_own_loop in (True, False):
        case = Case(
            source=source,
            fates=tuple(Fate(kind, 0.3, at % 4) for at, kind in enumerate(kinds)),
            keys=tuple(at % 7 for at in range(size)),
            partitions=tuple(at * 3 // size for at in range(size)),
            copy_of=tuple(range(size)),
            ordering=ordering,
            refused=frozenset({size // 2}) if ordering == BY_FUNCTION else frozenset(),
            scope=scope,
            limit=4,
            eager=eager,
            record_timeout=1.7,
            deadline=6.1,
            in_own_loop=in_own_loop,
            seed=7,
        )
        assert not broken_laws(live_through(case))


@pytest.mark.parametrize("in_own_loop", [True, False])
@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize("record_timeout", [None, 0.5])
@pytest.mark.parametrize("kind", [each.__name__ for each in ENDLESS])
def test_records_that_never_end_do_not_delay_the_reply(kind, record_timeout, eager, in_own_loop):
    case = Case(
        fates=(Fate("ok", 0.2), Fate(kind, 0.1), Fate("ok", 0.2)),
        keys=(0, 1, 2),
        partitions=(0, 0, 0),
        copy_of=(0, 1, 2),
        record_timeout=record_timeout,
        deadline=2.0,
        eager=eager,
        in_own_loop=in_own_loop,
    )
    seen = live_through(case)
    assert not broken_laws(seen)
    assert seen.reply == [seen.outcomes[1].id]
    assert seen.took <= 2.0


# --- the makespan -------------------------------------------------------------------------------------


def _zipf(records, groups, rng):
    weights = [1 / rank for rank in range(1, groups + 1)]
    return sorted(rng.choices(range(groups), weights, k=records))


SKEWED = {
    "1000 singles": list(range(1000)),
    "1000 in 100 equal groups": [at // 10 for at in range(1000)],
    "1000 in 60 equal groups, interleaved": [at % 60 for at in range(1000)],
    "1000 in 300 Zipf groups": _zipf(1000, 300, random.Random(0)),
    "735 singles, then a lane of 15": [*range(735), *[735] * 15],
    "20 contiguous groups of 50": [at // 50 for at in range(1000)],
    "one lane of 40 behind 400 singles": [*range(400), *[400] * 40],
}


def _event(source, lanes):
    payloads = ["{}"] * len(lanes)
    if source is EventSource.KAFKA:
        return kafka_event(payloads, partitions=lanes)
    return sqs_fifo_event(payloads, groups=[f"group {lane}" for lane in lanes])


@pytest.mark.parametrize("eager", HOW)
@pytest.mark.parametrize("source", [EventSource.SQS_FIFO, EventSource.KAFKA])
@pytest.mark.parametrize("batch", SKEWED)
def test_skewed_lanes_take_no_longer_than_they_must(batch, source, eager):
    lanes, limit, seconds = SKEWED[batch], 50, 0.01
    engine = BatchEngine(concurrency=limit, eager=eager, raise_on_failure="never")

    async def handler(record):
        await asyncio.sleep(seconds)

    report = run_virtual(engine.process(_event(source, lanes), handler), seed=1)
    longest = max(lanes.count(lane) for lane in set(lanes))
    assert report.all_succeeded
    assert report.duration <= 1.05 * seconds * max(len(lanes) / limit, longest)


# --- a stream out of order ----------------------------------------------------------------------------


def test_a_stream_out_of_order_has_no_checkpoint_once_something_failed():
    event = kinesis_event(["a", "b", "c"], keys=["x", "y", "z"])
    event["Records"].reverse()

    async def fails_last(record):
        if record.text == "a":
            raise ValueError

    async def succeeds(record):
        pass

    with virtual_kept_loops():
        assert BatchEngine().run(event, succeeds).response() == {"batchItemFailures": []}
        with pytest.raises(SequenceOrderError):
            BatchEngine().run(event, fails_last).response()
