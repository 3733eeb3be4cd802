"""Lanes against a naive model: order in a lane, what a failure holds back, and which lane goes first."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import EventSource, FailureReason, FailureScope, Ordering, SkipReason
from asyncbatch._events import Batch, read_event
from asyncbatch._lanes import Lanes, SingleLanes, build_lanes
from asyncbatch._ledger import Ledger
from asyncbatch._sources import rules_of
from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

UNORDERED, BY_KEY, SEQUENTIAL = Ordering
RECORD, LANE, BATCH = FailureScope
SQS, FIFO, KINESIS, DYNAMODB, KAFKA = EventSource

Plan = Ordering | Callable[[Any], Hashable]


def event_by_keys(source: EventSource, keys: list[str]) -> dict[str, Any]:
    """An event whose records have these keys: group, partition key, item; Kafka: 'k0'/'k1' on two partitions."""
    bodies = [str(position) for position in range(len(keys))]
    match source:
        case EventSource.SQS:
            return sqs_event(bodies)
        case EventSource.SQS_FIFO:
            return sqs_fifo_event(bodies, groups=keys)
        case EventSource.KINESIS:
            return kinesis_event(bodies, keys=keys)
        case EventSource.DYNAMODB:
            return dynamodb_event([{"id": key} for key in keys])
        case EventSource.KAFKA:
            # Sorted, because the event holds one list per topic-partition.
            keys = sorted(keys, key=lambda key: key in "bd")
            partitions = [int(key in "bd") for key in keys]
            return kafka_event(bodies, partitions=partitions, keys=[None if k in "ab" else k for k in keys])


def copied(event: dict[str, Any], copies: dict[int, int]) -> dict[str, Any]:
    """The event with some SQS messages delivered twice: position -> the position that it is a copy of."""
    for position, original in copies.items():
        for field_of_both in ("messageId", "attributes"):  # a message has one group
            event["Records"][position][field_of_both] = event["Records"][original][field_of_both]
    return event


def own_lane(source: EventSource, raw: dict[str, Any]) -> Hashable:
    """What the event source itself orders, said again in the simplest way; None where it orders nothing."""
    match source:
        case EventSource.SQS:
            return None
        case EventSource.SQS_FIFO:
            return raw["attributes"]["MessageGroupId"]
        case EventSource.KINESIS:
            return raw["kinesis"]["partitionKey"]
        case EventSource.DYNAMODB:
            return str(raw["dynamodb"]["Keys"])
        case EventSource.KAFKA:
            return raw["partition"]


def expected_lanes(source: EventSource, batch: Batch, ordering: Plan) -> list[Hashable]:
    """A naive name for the lane of every record."""
    lanes: list[Hashable] = []
    for raw, name in zip(batch.raws, batch.names, strict=True):
        if ordering is UNORDERED:
            lanes.append(name)
        elif ordering is SEQUENTIAL:
            lanes.append(raw["partition"] if source is KAFKA else "all")
        elif ordering is BY_KEY:
            lanes.append((raw["partition"], raw["key"]) if source is KAFKA else own_lane(source, raw))
        else:
            assert callable(ordering)
            lanes.append(ordering(rules_of(source).record_type(raw)))
    first: dict[Hashable, Hashable] = {}
    return [first.setdefault(name, lane) for name, lane in zip(batch.names, lanes, strict=True)]


@dataclass
class Model:
    """Who may start, decided anew at each step by looking at everything."""

    lanes: list[Hashable]
    scope: FailureScope
    in_position: bool
    started: list[int] = field(default_factory=list)
    ended: dict[int, bool] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)

    def may_start(self, position: int) -> bool:
        before = [p for p in range(position) if self.lanes[p] == self.lanes[position]]
        failed = [p for p, succeeded in self.ended.items() if not succeeded]
        if position in self.started or position in self.ended or position in self.held:
            return False
        if not all(p in self.ended for p in before):
            return False
        if self.scope is not RECORD and any(p in failed for p in before):
            return False
        return not (self.scope is BATCH and any(p < position for p in failed))

    def next(self) -> set[int | None]:
        """What may be taken: the first in position, or the next of a longest lane."""
        eligible = [p for p in range(len(self.lanes)) if self.may_start(p)]
        if not eligible:
            return {None}
        if self.in_position:
            return {min(eligible)}
        longest = max(map(self.left, eligible))
        return {p for p in eligible if self.left(p) == longest}

    def left(self, position: int) -> int:
        lane = self.lanes[position]
        return sum(1 for p, each in enumerate(self.lanes) if each == lane and p >= position)


def drive(lanes: Lanes, ledger: Ledger, model: Model, limit: int, data: st.DataObject) -> None:
    """Take and settle as a scheduler would, records ending in any order and way; the model must agree."""
    flying: list[int] = []
    while True:
        # Several may end before the next is taken: the scheduler pauses to give its loop a turn.
        while not flying or (len(flying) < limit and data.draw(st.booleans())):
            position = lanes.take()
            assert position in model.next(), "the model would start another record"
            if position is None:
                break
            model.started.append(position)
            flying.append(position)
        if not flying:
            break
        position = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
        model.ended[position] = data.draw(st.booleans())
        if not model.ended[position]:
            ledger.fail(position, FailureReason.RAISED)
        exhausted = not lanes.left
        lanes.settle(position, model.ended[position])
        if exhausted:
            assert model.next() == {None}, "nothing was to be left, however records ended"
    assert not lanes.left
    check_reasons(model, ledger)


def check_reasons(model: Model, ledger: Ledger) -> None:
    """Every record was started, or it is said truly why not."""
    failed = [p for p, succeeded in model.ended.items() if not succeeded]
    refused = set(model.ended) - set(model.started)
    assert sorted([*model.started, *ledger.skips, *refused]) == list(range(len(model.lanes)))
    for position, reason in ledger.skips.items():
        in_lane = [p for p in failed if p < position and model.lanes[p] == model.lanes[position]]
        if reason is SkipReason.LANE_HALTED:
            assert in_lane or position in model.held
        else:
            assert reason is SkipReason.BATCH_HALTED
            assert model.scope is BATCH
            assert any(p < position for p in failed)


# Which lane goes first is the source's business: where only a contiguous prefix counts, the first in position.
PREFIX_COUNTS = {
    SQS: lambda ordering: False,
    FIFO: lambda ordering: ordering is not BY_KEY,
    KINESIS: lambda ordering: True,
    DYNAMODB: lambda ordering: True,
    KAFKA: lambda ordering: ordering is not SEQUENTIAL,
}


def by_body(record: Any) -> Hashable:
    """A user's key: the event does not know it."""
    return len(record.key or "") + (record.raw.get("offset", 0) or sum(map(ord, repr(record.id)))) % 3


def is_legal(source: EventSource, ordering: Plan, scope: FailureScope) -> bool:
    return not (ordering is BY_KEY and source is SQS) and not (scope is RECORD and ordering is not UNORDERED)


@st.composite
def runs(draw: st.DrawFn) -> tuple[EventSource, Plan, FailureScope, Batch]:
    source = draw(st.sampled_from(EventSource))
    ordering = draw(st.sampled_from([*Ordering, by_body]))
    scope = draw(st.sampled_from(FailureScope).filter(lambda scope: is_legal(source, UNORDERED, scope)))
    if not is_legal(source, ordering, scope):
        ordering = UNORDERED
    keys = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=10))
    event = event_by_keys(source, keys)
    if source in (SQS, FIFO) and len(keys) > 1 and draw(st.booleans()):
        event = copied(event, {draw(st.integers(1, len(keys) - 1)): 0})
    return source, ordering, scope, read_event(event)


def build(batch: Batch, ordering: Plan, scope: FailureScope) -> tuple[Lanes, Ledger, list[Hashable] | None]:
    assert batch.rules is not None
    ledger = Ledger(len(batch.raws))
    lanes, keys = build_lanes(batch, batch.rules, ledger, ordering, scope)
    return lanes, ledger, keys


@given(run=runs(), limit=st.integers(1, 4), data=st.data())
def test_lanes_behave_like_the_model(
    run: tuple[EventSource, Plan, FailureScope, Batch], limit: int, data: st.DataObject
) -> None:
    source, ordering, scope, batch = run
    lanes, ledger, _ = build(batch, ordering, scope)
    names = expected_lanes(source, batch, ordering)
    model = Model(names, scope, in_position=scope is BATCH or PREFIX_COUNTS[source](ordering))
    drive(lanes, ledger, model, limit, data)


# --- the laws by example ------------------------------------------------------------------------------


def lanes_of(
    groups: str, scope: FailureScope = LANE, ordering: Plan = BY_KEY, source: EventSource = FIFO
) -> tuple[Lanes, Ledger]:
    lanes, ledger, _ = build(read_event(event_by_keys(source, list(groups))), ordering, scope)
    return lanes, ledger


def taken(lanes: Lanes) -> list[int]:
    """All that may start now."""
    return list(iter(lanes.take, None))


def succeed(lanes: Lanes, position: int) -> None:
    lanes.settle(position, True)  # noqa: FBT003 - the scheduler's spelling


def fail(lanes: Lanes, position: int) -> None:
    lanes.settle(position, False)  # noqa: FBT003 - the scheduler's spelling


def test_a_lane_is_handled_one_after_another() -> None:
    lanes, _ = lanes_of("aab")
    assert taken(lanes) == [0, 2]  # the lane with the most left goes first
    assert taken(lanes) == []
    succeed(lanes, 0)
    assert taken(lanes) == [1]


def test_a_failure_holds_back_the_rest_of_its_lane() -> None:
    lanes, ledger = lanes_of("aabab")
    assert taken(lanes) == [0, 2]
    fail(lanes, 0)
    succeed(lanes, 2)
    assert taken(lanes) == [4]
    assert ledger.skips == {1: SkipReason.LANE_HALTED, 3: SkipReason.LANE_HALTED}


def test_a_failure_holds_back_all_that_stands_after_it_and_nothing_before() -> None:
    lanes, ledger = lanes_of("abababc", BATCH, source=KINESIS)
    assert (lanes.take(), lanes.take()) == (0, 1)
    succeed(lanes, 0)
    assert lanes.take() == 2
    fail(lanes, 2)  # at position 2: 3, 5 (lane b) and 6 (lane c) may not start, 1 is in flight
    succeed(lanes, 1)
    assert lanes.take() is None
    assert not lanes.left
    assert ledger.skips[4] is SkipReason.LANE_HALTED
    assert {p: ledger.skips[p] for p in (3, 5, 6)} == dict.fromkeys((3, 5, 6), SkipReason.BATCH_HALTED)


def test_after_a_failure_what_stands_before_it_still_runs() -> None:
    lanes, _ = lanes_of("aaab", BATCH, source=KINESIS)
    assert taken(lanes) == [0, 3]
    fail(lanes, 3)
    for position in (0, 1, 2):  # they move the checkpoint up to 3
        succeed(lanes, position)
        assert lanes.take() == (position + 1 if position < 2 else None)


def test_a_later_failure_does_not_lift_an_earlier_one() -> None:
    lanes, ledger = lanes_of("abcd", BATCH, source=KINESIS)
    assert (lanes.take(), lanes.take(), lanes.take()) == (0, 1, 2)
    fail(lanes, 0)
    fail(lanes, 2)
    succeed(lanes, 1)
    assert lanes.take() is None
    assert set(ledger.skips) == {3}


def test_a_later_failure_is_no_news_for_lanes_with_several_records() -> None:
    lanes, ledger = lanes_of("aabcc", BATCH, source=KINESIS)
    assert (lanes.take(), lanes.take(), lanes.take()) == (0, 2, 3)
    fail(lanes, 2)
    fail(lanes, 3)
    succeed(lanes, 0)
    assert lanes.take() == 1
    assert set(ledger.skips) == {4}


def test_what_could_start_but_had_to_wait_is_held_back_too() -> None:
    lanes, ledger = lanes_of("abac", BATCH, source=KINESIS)
    assert (lanes.take(), lanes.take(), lanes.take()) == (0, 1, 3)
    succeed(lanes, 0)  # 2 could start now
    fail(lanes, 1)
    assert lanes.take() is None
    assert ledger.skips == {2: SkipReason.BATCH_HALTED}


def test_what_had_to_wait_and_stands_before_the_failure_still_runs() -> None:
    lanes, ledger = lanes_of("abacc", BATCH, source=KINESIS)
    assert (lanes.take(), lanes.take(), lanes.take()) == (0, 1, 3)
    succeed(lanes, 0)  # 2 could start now
    fail(lanes, 3)
    assert (lanes.take(), lanes.take()) == (2, None)
    assert ledger.skips == {4: SkipReason.LANE_HALTED}


def test_nothing_is_held_back_where_records_are_alone() -> None:
    lanes, ledger = lanes_of("aaa", RECORD, UNORDERED)
    assert taken(lanes) == [0, 1, 2]
    fail(lanes, 0)
    assert ledger.skips == {}
    assert not lanes.left


def test_copies_of_one_record_share_a_lane() -> None:
    batch = read_event(copied(sqs_event(["1", "2", "3"]), {2: 0}))
    lanes, ledger, keys = build(batch, UNORDERED, RECORD)
    assert taken(lanes) == [0, 1]
    fail(lanes, 0)
    assert taken(lanes) == [2]  # RECORD: a failed copy holds back nothing
    assert ledger.skips == {}
    assert keys is not None
    assert keys[0] == keys[2] != keys[1]


def test_the_longest_lane_goes_first_where_lanes_are_the_sources_units() -> None:
    lanes, _ = lanes_of("abbb")
    assert taken(lanes) == [1, 0]


@pytest.mark.parametrize("source", [KINESIS, DYNAMODB])
def test_the_first_in_position_goes_first_where_only_a_prefix_counts(source: EventSource) -> None:
    lanes, _ = lanes_of("abbb", LANE, source=source)
    assert taken(lanes) == [0, 1]


def test_lanes_of_one_record_each_start_in_position() -> None:
    lanes, _ = lanes_of("abcd")
    assert isinstance(lanes, SingleLanes)
    assert taken(lanes) == [0, 1, 2, 3]
    assert lanes.take() is None


def test_a_success_need_not_be_told_where_no_record_waits_for_another() -> None:
    assert [lanes_of(groups)[0].queue for groups in ("abc", "aab")] == [False, True]


def test_a_null_key_of_kafka_takes_the_partitions_lane() -> None:
    event = kafka_event(list("12345"), partitions=[0, 0, 0, 1, 1], keys=[None, "k", None, None, "k"])
    lanes, _, keys = build(read_event(event), BY_KEY, LANE)
    assert keys is not None
    assert len(set(keys)) == 4
    assert keys[0] == keys[2]
    assert taken(lanes) == [0, 1, 3, 4]


@pytest.mark.parametrize("source", [FIFO, KINESIS, DYNAMODB])
def test_sequential_is_one_lane_for_the_batch(source: EventSource) -> None:
    lanes, _ = lanes_of("abc", LANE, SEQUENTIAL, source)
    assert taken(lanes) == [0]


def test_sequential_is_one_lane_for_each_topic_partition() -> None:
    lanes, _ = lanes_of("aacb", LANE, SEQUENTIAL, KAFKA)
    assert taken(lanes) == [0, 3]


# --- key functions ------------------------------------------------------------------------------------


async def _coroutine() -> None: ...


def refusing(refused: set[int], how: str) -> Callable[[Any], Hashable]:
    """A key function that cannot name the lane of some records, told by their body."""

    def key(record: Any) -> Any:
        if int(record.text) not in refused:
            return record.text
        if how == "unhashable":
            return ["k"]
        if how == "coroutine":
            return _coroutine()
        raise {"raises": KeyError, "exits": SystemExit}[how]("secret")

    return key


@pytest.mark.parametrize("how", ["raises", "exits", "unhashable", "coroutine"])
def test_a_record_without_a_lane_fails_unrun_and_alone(how: str) -> None:
    batch = read_event(sqs_event(["0", "1", "2"]))
    lanes, ledger, _ = build(batch, refusing({1}, how), LANE)
    assert lanes.take() == 0
    succeed(lanes, 0)
    assert lanes.take() == 2
    assert list(ledger.failures) == [1]
    assert ledger.failures[1].reason is FailureReason.RAISED
    assert ledger.started[1] is None
    assert ledger.skips == {}


def test_a_key_functions_error_is_kept() -> None:
    _, ledger, _ = build(read_event(sqs_event(["0"])), refusing({0}, "raises"), LANE)
    assert isinstance(ledger.failures[0].error, KeyError)
    assert ledger.failures[0].message == "KeyError: 'secret'"


def test_a_record_without_a_lane_is_in_no_lane_of_others_though_their_key_be_none() -> None:
    def key(record: Any) -> Hashable:
        return {"0": "x", "2": None, "3": None}[record.text]

    lanes, ledger, keys = build(read_event(sqs_event(list("0123"))), key, LANE)
    assert keys is not None
    assert keys[1] not in {keys[0], None}
    assert sorted(taken(lanes)) == [0, 2]
    assert ledger.skips == {}


def test_a_copy_of_a_record_without_a_lane_is_held_back() -> None:
    event = copied(sqs_event(list("012")), {2: 0})
    lanes, ledger, _ = build(read_event(event), refusing({0}, "raises"), LANE)
    assert taken(lanes) == [1]
    assert ledger.skips == {2: SkipReason.LANE_HALTED}


def test_a_record_without_a_lane_halts_the_sources_own_lane_behind_it() -> None:
    event = sqs_fifo_event(list("01234"), groups=list("abaab"))
    lanes, ledger, _ = build(read_event(event), refusing({2}, "raises"), LANE)
    order = []
    while (position := lanes.take()) is not None:
        order.append(position)
        succeed(lanes, position)
    assert order == [0, 1, 4]
    assert list(ledger.failures) == [2]
    assert ledger.skips == {3: SkipReason.LANE_HALTED}


def test_what_is_held_back_so_halts_the_rest_of_its_own_lane() -> None:
    # 0 has no lane; 1 stands behind it in its group; 2 shares a lane with 1, not a group.
    event = sqs_fifo_event(list("012"), groups=list("aab"))
    lanes, ledger, _ = build(read_event(event), lambda record: {"1": "x", "2": "x"}[record.text], LANE)
    assert lanes.take() is None
    assert ledger.skips == {1: SkipReason.LANE_HALTED, 2: SkipReason.LANE_HALTED}


def test_a_record_without_a_lane_halts_the_batch_behind_it_where_that_is_the_scope() -> None:
    event = kinesis_event(list("0123"), keys=list("abcd"))
    lanes, ledger, _ = build(read_event(event), refusing({1, 3}, "raises"), BATCH)
    assert lanes.take() == 0
    succeed(lanes, 0)
    assert lanes.take() is None
    assert not lanes.left
    assert list(ledger.failures) == [1, 3]
    assert ledger.skips == {2: SkipReason.BATCH_HALTED}


def test_copies_share_a_lane_whatever_the_key_function_says() -> None:
    event = copied(sqs_event(list("012")), {2: 0})
    lanes, _, keys = build(read_event(event), lambda record: record.text, LANE)
    assert keys is not None
    assert keys[0] == keys[2] == "0"
    assert sorted(taken(lanes)) == [0, 1]


def held_back(
    source: EventSource, batch: Batch, lanes: list[Hashable], refused: set[int], scope: FailureScope
) -> set[int]:
    """What stands behind a refused record, in the batch, in the source's own lane, or in a lane halted by that."""
    own = [own_lane(source, dict(raw)) for raw in batch.raws]
    held: set[int] = set()
    for position in range(len(lanes)):
        earlier = {p for p in refused if p < position}
        if position not in refused and (
            (scope is BATCH and earlier)
            or (source is not SQS and own[position] in {own[p] for p in earlier})
            or lanes[position] in {lanes[p] for p in held}
        ):
            held.add(position)
    return held


@pytest.mark.parametrize("source", EventSource)
@given(
    keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=8),
    refused=st.sets(st.integers(0, 7), max_size=3),
    scope=st.sampled_from([LANE, BATCH]),
    limit=st.integers(1, 4),
    data=st.data(),
)
def test_lanes_behave_like_the_model_where_a_key_function_refuses_records(
    source: EventSource,
    *,
    keys: list[str],
    refused: set[int],
    scope: FailureScope,
    limit: int,
    data: st.DataObject,
) -> None:
    batch = read_event(event_by_keys(source, keys))
    size = len(batch.raws)
    refused = {position for position in refused if position < size}

    def key(record: Any) -> Hashable:
        position = list(batch.raws).index(record.raw)
        if position in refused:
            raise ValueError
        return position % 2

    lanes, ledger, _ = build(batch, key, scope)
    names: list[Hashable] = [f"refused {p}" if p in refused else p % 2 for p in range(size)]
    held = held_back(source, batch, names, refused, scope)
    assert set(ledger.failures) == refused
    assert set(ledger.skips) == held
    model = Model(names, scope, in_position=scope is BATCH or PREFIX_COUNTS[source](key))
    model.ended = dict.fromkeys(refused, False)
    model.held = held
    drive(lanes, ledger, model, limit, data)
    assert not set(ledger.failures) & set(ledger.skips)
