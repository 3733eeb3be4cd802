"""The report: the reply that is safe for each event source, against a naive reading of AWS's rules."""

import json
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import (
    BatchEngine,
    BatchReport,
    EventSource,
    Failed,
    FailedBatchError,
    FailureReason,
    SequenceOrderError,
    Skipped,
    SkipReason,
    Succeeded,
)
from asyncbatch._events import read_event
from asyncbatch._ledger import Ledger
from asyncbatch._report import Counts, RaiseOnFailure
from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

SQS, FIFO, KINESIS, DYNAMODB, KAFKA = EventSource
STREAMS = [KINESIS, DYNAMODB]


def event_of_units(source: EventSource, units: Sequence[int]) -> dict[str, Any]:
    """An event whose records belong to these units: message groups, topic-partitions; keys elsewhere."""
    names = [f"u{unit}" for unit in units]
    match source:
        case EventSource.SQS:
            return sqs_event(names)
        case EventSource.SQS_FIFO:
            return sqs_fifo_event(names, groups=names)
        case EventSource.KINESIS:
            return kinesis_event(names, keys=names)
        case EventSource.DYNAMODB:
            return dynamodb_event([{"id": name} for name in names])
        case EventSource.KAFKA:
            return kafka_event(names, partitions=units)


def succeed(ledger: Ledger, position: int) -> None:
    """What the scheduler does where a handler has returned."""
    ledger.ended[position] = 2.0
    ledger.succeeded[position] = 1


def report_on(
    event: dict[str, Any],
    succeeded: Sequence[bool],
    *,
    lane_keys: Sequence[Hashable] | None = None,
    raise_on_failure: RaiseOnFailure = "never",
    still_running: Sequence[int] = (),
) -> BatchReport:
    """The report of a run in which these records succeeded and the others raised."""
    batch = read_event(event)
    ledger = Ledger(len(batch.raws))
    for position, success in enumerate(succeeded):
        ledger.started[position] = float(position)
        if success:
            succeed(ledger, position)
        else:
            ledger.fail(position, FailureReason.RAISED, ValueError(f"bad {position}"))
    return BatchReport(
        batch,
        ledger,
        lane_keys=lane_keys,
        raise_on_failure=raise_on_failure,
        duration=1.5,
        still_running=still_running,
    )


def positions(report: BatchReport) -> list[int]:
    """Where the records stand that the reply names."""
    ids = [outcome.id for outcome in report.outcomes]
    return [ids.index(name) for name in report.failures]


# --- the reply, against a naive oracle ----------------------------------------------------------------


def safe_reply(source: EventSource, units: Sequence[int], succeeded: Sequence[bool]) -> list[int]:
    """The table `The reply that is safe for each source`, said again in the simplest way."""
    bad = [position for position, success in enumerate(succeeded) if not success]
    if source is SQS:
        return bad
    if source in STREAMS:
        return bad[:1]
    return [p for p in range(len(units)) if any(units[b] == units[p] and b <= p for b in bad)]


def taken_as_done(source: EventSource, units: Sequence[int], named: Sequence[int]) -> set[int]:
    """What the source will not deliver again; for Kafka under either reading of AWS's commit rule."""
    everything = range(len(units))
    if source in STREAMS:
        return set(range(min(named))) if named else set(everything)
    done = set(everything) - set(named)
    if source is KAFKA:
        firsts = {units[p]: p for p in reversed(named)}
        done |= {p for p in everything if p < firsts.get(units[p], len(units))}
    return done


@given(
    source=st.sampled_from(EventSource),
    records=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12),
)
def test_the_reply_is_the_safe_one(source: EventSource, records: list[tuple[int, bool]]) -> None:
    if source is KAFKA:  # the event holds a list per topic-partition
        first_seen = [unit for unit, _ in records]
        records = sorted(records, key=lambda record: first_seen.index(record[0]))
    units, succeeded = [unit for unit, _ in records], [success for _, success in records]
    event = event_of_units(source, units)
    report = report_on(event, succeeded)
    named = positions(report)
    assert named == safe_reply(source, units, succeeded)
    assert len(set(map(str, report.failures))) == len(report.failures), "each identifier once"
    assert all(succeeded[p] for p in taken_as_done(source, units, named)), "success is earned"
    assert report.response() == {"batchItemFailures": [{"itemIdentifier": name} for name in report.failures]}


@given(
    lanes=st.lists(st.integers(0, 2), min_size=1, max_size=10),
    fates=st.lists(st.booleans(), min_size=10, max_size=10),
)
def test_an_ordering_asked_for_on_a_queue_names_the_rest_of_the_lane(
    lanes: list[int], fates: list[bool]
) -> None:
    succeeded = fates[: len(lanes)]
    report = report_on(event_of_units(SQS, lanes), succeeded, lane_keys=lanes)
    # A message that is deleted while an earlier one of its lane comes back has overtaken it.
    assert positions(report) == safe_reply(FIFO, lanes, succeeded)


@pytest.mark.parametrize("source", [FIFO, KINESIS, KAFKA])
def test_an_ordering_asked_for_does_not_change_what_another_source_needs(source: EventSource) -> None:
    event = event_of_units(source, [0, 0, 1, 1])
    succeeded = [False, True, True, True]
    own = report_on(event, succeeded)
    asked = report_on(event, succeeded, lane_keys=["a", "b", "c", "d"])
    assert asked.failures == own.failures


@given(copies=st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), min_size=1, max_size=8))
def test_a_message_delivered_twice_is_named_once_if_any_copy_did_not_succeed(
    copies: list[tuple[str, bool]],
) -> None:
    event = sqs_event([""] * len(copies))
    for record, (name, _) in zip(event["Records"], copies, strict=True):
        record["messageId"] = name
    report = report_on(event, [success for _, success in copies])
    bad = {name for name, success in copies if not success}
    assert sorted(report.failures, key=str) == sorted(bad)


def test_identifiers_are_named_as_the_event_has_them() -> None:
    kafka = event_of_units(KAFKA, [3, 3])
    assert report_on(kafka, [True, False]).failures == [{"partition": "orders-3", "offset": 16}]
    sqs = event_of_units(SQS, [0])
    assert report_on(sqs, [False]).failures == [sqs["Records"][0]["messageId"]]


# --- the checkpoint -----------------------------------------------------------------------------------


def renumbered(source: EventSource, numbers: Sequence[str]) -> dict[str, Any]:
    event = event_of_units(source, [0] * len(numbers))
    for record, number in zip(event["Records"], numbers, strict=True):
        inner = record["kinesis" if source is KINESIS else "dynamodb"]
        inner["sequenceNumber" if source is KINESIS else "SequenceNumber"] = number
    return event


@pytest.mark.parametrize("source", STREAMS)
def test_the_checkpoint_is_the_first_in_position_that_did_not_succeed(source: EventSource) -> None:
    event = event_of_units(source, [0, 1, 2, 3])
    report = report_on(event, [True, False, True, False])
    assert report.checkpoint == report.outcomes[1].id
    assert report.failures == [report.checkpoint]


@pytest.mark.parametrize("source", STREAMS)
def test_numbers_are_not_compared_as_text(source: EventSource) -> None:
    event = renumbered(source, ["999", "1000", "1001"])  # "999" > "1000" as text
    assert report_on(event, [False, False, True]).checkpoint == "999"
    assert report_on(event, [True, False, False]).checkpoint == "1000"


@pytest.mark.parametrize("source", STREAMS)
@given(
    numbers=st.lists(st.integers(0, 10**60), min_size=1, max_size=8),
    fates=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_the_checkpoint_leaves_only_successes_behind(
    source: EventSource, numbers: list[int], fates: list[bool]
) -> None:
    succeeded = fates[: len(numbers)]
    report = report_on(renumbered(source, list(map(str, numbers))), succeeded)
    if all(succeeded):
        assert (report.checkpoint, report.failures) == (None, [])
    elif numbers != sorted(numbers):
        with pytest.raises(SequenceOrderError):
            _ = report.checkpoint
    else:
        # Lambda goes on from the lowest number in the reply, compared as an integer.
        at = int(str(report.checkpoint))
        behind = [done for number, done in zip(numbers, succeeded, strict=True) if number < at]
        assert all(behind)
        assert min(n for n, done in zip(numbers, succeeded, strict=True) if not done) == at


@pytest.mark.parametrize("source", STREAMS)
def test_an_order_that_nobody_can_trust_raises_only_when_something_failed(source: EventSource) -> None:
    event = renumbered(source, ["1", "3", "2"])
    assert report_on(event, [True, True, True]).response() == {"batchItemFailures": []}
    report = report_on(event, [True, True, False])
    for read in (report.response, lambda: report.failures, lambda: report.checkpoint):
        with pytest.raises(SequenceOrderError, match="record 2 "):
            read()


def test_offsets_that_do_not_ascend_raise_too_but_only_within_their_partition() -> None:
    event = event_of_units(KAFKA, [0, 0, 1])
    event["records"]["orders-1"][0]["offset"] = 1
    assert positions(report_on(event, [False, True, True])) == [0, 1]
    event["records"]["orders-0"][1]["offset"] = 1
    with pytest.raises(SequenceOrderError, match="record 1 "):
        report_on(event, [False, True, True]).response()


@pytest.mark.parametrize("source", STREAMS)
def test_a_number_that_is_longer_than_integers_may_be_leaves_the_order_to_the_position(
    source: EventSource,
) -> None:
    event = renumbered(source, ["1", "9" * 5_000, "3"])
    assert positions(report_on(event, [True, False, True])) == [1]


def test_numbers_that_are_none_leave_the_order_to_the_position() -> None:
    event = renumbered(KINESIS, ["shard-b", "shard-a", "\N{SUPERSCRIPT TWO}"])
    assert report_on(event, [True, False, False]).checkpoint == "shard-a"


def test_numbers_that_do_not_ascend_raise_also_where_one_between_them_is_none() -> None:
    report = report_on(renumbered(KINESIS, ["2", "shard-a", "1"]), [False, False, False])
    with pytest.raises(SequenceOrderError, match="record 2 "):
        report.response()


def test_equal_numbers_are_copies_and_no_disorder() -> None:
    assert report_on(renumbered(KINESIS, ["1", "1", "2"]), [True, False, True]).checkpoint == "1"


@pytest.mark.parametrize("source", [SQS, FIFO, KAFKA])
def test_queues_and_kafka_have_no_single_checkpoint(source: EventSource) -> None:
    assert report_on(event_of_units(source, [0, 0]), [False, True]).checkpoint is None


def test_an_empty_batch_has_no_checkpoint_and_no_source() -> None:
    report = report_on({"Records": []}, [])
    assert (report.source, report.checkpoint, report.failures, report.outcomes) == (None, None, [], ())
    assert repr(report) == "<BatchReport empty: 0 succeeded, 0 failed, 0 skipped>"
    assert report.all_succeeded


# --- outcomes -----------------------------------------------------------------------------------------


def test_outcomes_stand_in_input_order_and_know_their_record() -> None:
    event = event_of_units(SQS, [0, 0, 0, 0])
    batch = read_event(event)
    ledger = Ledger(4)
    ledger.started[:3] = [1.0, 2.0, 3.0]
    succeed(ledger, 0)
    ledger.fail(1, FailureReason.TIMED_OUT, None, "too slow")
    ledger.skip(3, SkipReason.LANE_HALTED)
    ledger.seal(SkipReason.DEADLINE)
    report = BatchReport(batch, ledger, lane_keys=None, raise_on_failure="never", duration=0.0)
    done, failed, unfinished, skipped = report.outcomes
    assert [outcome.position for outcome in report.outcomes] == [0, 1, 2, 3]
    assert [outcome.id for outcome in report.outcomes] == [each["messageId"] for each in event["Records"]]
    assert [outcome.record.raw for outcome in report.outcomes] == event["Records"]
    assert isinstance(done, Succeeded)
    assert (done.started, done.ended) == (1.0, 2.0)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.message) == (FailureReason.TIMED_OUT, "too slow")
    assert (failed.started, failed.ended) == (2.0, None)
    assert isinstance(unfinished, Failed)
    assert unfinished.reason is FailureReason.DEADLINE
    assert isinstance(skipped, Skipped)
    assert skipped.reason is SkipReason.LANE_HALTED
    assert report.succeeded == (done,)
    assert report.unsuccessful == (failed, unfinished, skipped)
    assert report.counts == Counts(total=4, succeeded=1, failed=2, skipped=1)
    assert report.outcome(3) == skipped
    assert report.outcomes is report.outcomes
    assert repr(report) == "<BatchReport sqs: 1 succeeded, 2 failed, 1 skipped>"


def test_a_success_that_comes_after_the_report_changes_nothing() -> None:
    batch = read_event(event_of_units(SQS, [0]))
    ledger = Ledger(1)
    ledger.started[0] = 1.0
    report = BatchReport(batch, ledger, lane_keys=None, raise_on_failure="never", duration=0.0)
    succeed(ledger, 0)  # as a handler in a thread that was left behind may do
    assert positions(report) == [0]
    assert isinstance(report.outcome(0), Failed)
    assert report.counts.succeeded == 0


@pytest.mark.parametrize(("started", "kind"), [(None, Skipped), (1.0, Failed)])
def test_a_report_seals_what_was_not(started: float | None, kind: type) -> None:
    ledger = Ledger(1)
    ledger.started[0] = started
    batch = read_event(event_of_units(SQS, [0]))
    report = BatchReport(batch, ledger, lane_keys=None, raise_on_failure="never", duration=0.0)
    assert isinstance(report.outcomes[0], kind)


# --- raise_on_failure ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "succeeded", "raises"),
    [
        ("never", [False, False], False),
        ("never", [True, False], False),
        ("entire_batch", [True, True], False),
        ("entire_batch", [True, False], False),
        ("entire_batch", [False, False], True),
        ("any", [True, True], False),
        ("any", [True, False], True),
        ("any", [False, False], True),
    ],
)
def test_the_reply_raises_where_it_is_asked_to(
    choice: RaiseOnFailure, succeeded: list[bool], *, raises: bool
) -> None:
    report = report_on(event_of_units(SQS, [0, 0]), succeeded, raise_on_failure=choice)
    if not raises:
        assert len(report.response()["batchItemFailures"]) == succeeded.count(False)
        return
    with pytest.raises(FailedBatchError) as caught:
        report.response()
    assert (caught.value.unsuccessful, caught.value.total) == (succeeded.count(False), 2)
    assert caught.value.summary == report.summary()
    assert len(report.failures) == succeeded.count(False)  # the report itself still tells


async def failing(record: Any) -> None:
    raise ValueError


@pytest.mark.parametrize("source", EventSource)
def test_the_default_is_to_reply_but_to_raise_where_aws_may_not_read_the_reply(
    source: EventSource,
) -> None:
    report = BatchEngine().run(event_of_units(source, [0, 0]), failing)
    if source is KAFKA:
        with pytest.raises(FailedBatchError):
            report.response()
    else:
        assert report.response()["batchItemFailures"]


def test_kafkas_default_can_be_changed() -> None:
    report = BatchEngine(raise_on_failure="never").run(event_of_units(KAFKA, [0, 0]), failing)
    assert [name["itemIdentifier"] for name in report.response()["batchItemFailures"]] == report.failures


@pytest.mark.parametrize("choice", ["never", "entire_batch", "any"])
def test_an_empty_batch_never_raises(choice: RaiseOnFailure) -> None:
    report = report_on({"Records": []}, [], raise_on_failure=choice)
    assert report.response() == {"batchItemFailures": []}


# --- tumbling windows ---------------------------------------------------------------------------------


def window(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**event, "window": {}, "isFinalInvokeForWindow": False, **fields}


def test_the_state_of_a_window_is_echoed_or_replaced() -> None:
    report = report_on(window(event_of_units(KINESIS, [0]), state={"n": 1}), [True])
    assert report.response() == {"batchItemFailures": [], "state": {"n": 1}}
    assert report.response({"n": 2}) == {"batchItemFailures": [], "state": {"n": 2}}
    assert report.response({}) == {"batchItemFailures": [], "state": {}}


def test_the_reply_for_a_window_always_has_a_state() -> None:
    report = report_on(window(event_of_units(KINESIS, [0, 0])), [True, False])
    assert report.response() == {
        "batchItemFailures": [{"itemIdentifier": report.checkpoint}],
        "state": {},
    }
    assert report_on(window({}), []).response() == {"batchItemFailures": [], "state": {}}


def test_no_other_reply_has_a_state_of_its_own() -> None:
    report = report_on(event_of_units(KINESIS, [0]), [True])
    assert "state" not in report.response()
    assert report.response({"n": 1})["state"] == {"n": 1}


# --- the summary --------------------------------------------------------------------------------------


class Escape(BaseException):
    """What no `except Exception` stops."""


class Hostile(Exception):  # noqa: N818 - any exception
    def __str__(self) -> str:
        raise Escape


def test_a_summary_counts_by_kind_and_names_the_first_failures() -> None:
    event = event_of_units(SQS, [0] * 5)
    batch = read_event(event)
    ledger = Ledger(5)
    ledger.started[:3] = [1.0, 2.0, 3.0]
    succeed(ledger, 0)
    ledger.fail(1, FailureReason.RAISED, KeyError("order"))
    ledger.fail(2, FailureReason.TIMED_OUT, None, "took longer")
    ledger.skip(3, SkipReason.LANE_HALTED)
    ledger.seal(SkipReason.DEADLINE)
    report = BatchReport(
        batch, ledger, lane_keys=None, raise_on_failure="never", duration=1.5, still_running=[2]
    )
    lines = report.summary().splitlines()
    ids = [each["messageId"] for each in event["Records"]]
    assert lines[0] == "1 of 5 records succeeded, 2 failed, 2 skipped, in 1.500 s"
    assert sorted(lines[1:5]) == [
        "  1 x raised: KeyError",
        "  1 x skipped: deadline",
        "  1 x skipped: lane-halted",
        "  1 x timed-out",
    ]
    assert lines[5:] == [
        f"  {ids[1]}: KeyError: 'order'",
        f"  {ids[2]}: took longer",
        f"  still running: {ids[2]}",
    ]
    assert report.still_running == (ids[2],)


def test_a_summary_counts_what_is_of_one_kind_together() -> None:
    event = event_of_units(SQS, [0] * 3)
    report = report_on(event, [False, True, False], still_running=[0, 2])
    ids = [each["messageId"] for each in event["Records"]]
    assert report.summary().splitlines()[1:] == [
        "  2 x raised: ValueError",
        f"  {ids[0]}: ValueError: bad 0",
        f"  {ids[2]}: ValueError: bad 2",
        f"  still running: {ids[0]}, {ids[2]}",
    ]


@pytest.mark.parametrize("error", [ValueError("x" * 1_000_000), Hostile()], ids=["huge", "hostile"])
def test_a_summary_of_ten_thousand_failures_is_bounded(error: Exception) -> None:
    size = 10_000
    records = [
        {"messageId": str(n), "eventSource": "aws:sqs", "eventSourceARN": "arn:q"} for n in range(size)
    ]
    batch = read_event({"Records": records})
    ledger = Ledger(size)
    for position in range(size):
        ledger.fail(position, FailureReason.RAISED, error)
    ledger.seal(SkipReason.DEADLINE)
    report = BatchReport(
        batch,
        ledger,
        lane_keys=None,
        raise_on_failure="any",
        duration=1.0,
        still_running=range(size),
    )
    assert len(report.summary().encode()) <= 20 * 1024
    assert len(report.summary().splitlines()) < 40
    with pytest.raises(FailedBatchError) as caught:
        report.response()
    assert len(str(caught.value)) <= 20 * 1024 + 100
    assert len(report.failures) == size


def test_a_summary_of_many_kinds_of_error_is_bounded() -> None:
    size = 500
    event = sqs_event([""] * size)
    ledger = Ledger(size)
    for position in range(size):
        kind = type(f"Error{position}", (Exception,), {})
        ledger.fail(position, FailureReason.RAISED, kind())
    ledger.seal(SkipReason.DEADLINE)
    report = BatchReport(read_event(event), ledger, lane_keys=None, raise_on_failure="never", duration=1.0)
    assert len(report.summary().splitlines()) <= 1 + 10 + 10


def test_a_report_shows_the_place_of_a_failure() -> None:
    report = BatchEngine().run(event_of_units(SQS, [0]), failing)
    assert "test_report.py:" in report.summary()
    assert "in failing)" in report.summary()


def test_a_reply_can_be_sent_as_json(event_of: Callable[..., Any]) -> None:
    for source in EventSource:
        report = report_on(event_of(source, ["1"]), [False])
        assert json.loads(json.dumps(report.response())) == report.response()
