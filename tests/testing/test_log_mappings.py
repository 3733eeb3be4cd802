"""Streams and topics in simulation: checkpoints, retries, splits, what is given up, windows."""

import json
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from asyncbatch import DynamoDBRecord, InvalidOptionError, KafkaRecord, KinesisRecord, Ordering, batch_handler
from asyncbatch.testing import (
    DynamoDBMapping,
    HandlerSpy,
    KafkaMapping,
    KinesisMapping,
    RecordState,
    fail,
    hang,
    scripted,
    succeed,
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncbatch")


def names(*failing: str) -> Callable[[Any, Any], Any]:
    """A function whose reply names the Kinesis records with this data."""

    def function(event: Any, context: Any) -> Any:
        records = [KinesisRecord(raw) for raw in event["Records"]]
        failed = [record.id for record in records if record.text in failing]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    return function


def raises_at(*failing: str) -> Callable[[Any, Any], Any]:
    """A function that raises when one of these Kinesis records is in the batch."""

    def function(event: Any, context: Any) -> Any:
        if any(KinesisRecord(raw).text in failing for raw in event["Records"]):
            raise ValueError

    return function


def batches(mapping: Any) -> list[str]:
    return ["".join(record.label for record in each.records) for each in mapping.invocations]


def times(mapping: Any) -> list[float]:
    return [each.began for each in mapping.invocations]


# --- the checkpoint -----------------------------------------------------------------------------------


def test_everything_from_the_lowest_name_on_comes_again() -> None:
    with KinesisMapping(names("c", "d"), maximum_retry_attempts=2) as mapping:
        mapping.send(*"abcde", key="k")
        mapping.run()
    assert batches(mapping) == ["abcde", "cde", "cde"]
    assert times(mapping) == [0, 1, 3]
    assert (mapping.done, mapping.discarded) == (["a", "b"], ["c", "d", "e"])


@pytest.mark.parametrize("on_failure", [True, False])
def test_what_is_given_up_is_lost_without_a_destination(*, on_failure: bool) -> None:
    with KinesisMapping(names("b"), maximum_retry_attempts=0, on_failure=on_failure) as mapping:
        mapping.send(*"abc", key="k")
        mapping.send("d", key="k", after=60)
        mapping.run()
    assert batches(mapping) == ["abc", "d"]
    assert (mapping.done, mapping.discarded) == (["a", "d"], ["b", "c"])
    if on_failure:
        mapping.assert_nothing_lost()
        assert "to the failure destination, tried 1 times: b, c" in str(mapping)
    else:
        with pytest.raises(AssertionError, match="2 of 4 records are lost"):
            mapping.assert_nothing_lost()
        assert "LOST, there is no failure destination, tried 1 times: b, c" in str(mapping)


def test_an_error_brings_the_whole_batch_again_with_pauses_that_grow() -> None:
    with KinesisMapping(raises_at("b"), maximum_retry_attempts=8) as mapping:
        mapping.send(*"abc", key="k")
        mapping.run()
    assert set(batches(mapping)) == {"abc"}
    assert times(mapping) == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_a_shard_waits_for_what_failed_and_another_shard_does_not() -> None:
    spy = HandlerSpy(scripted({"x1": [fail(), fail()]}, otherwise=succeed(after=1)))
    with KinesisMapping(batch_handler(spy), shards=2) as mapping:
        assert mapping._poller_of("x") is not mapping._poller_of("a")
        mapping.send("x1", "x2", key="x")
        mapping.send("y1", key="a")
        mapping.send("x3", key="x", after=0.5)
        mapping.run()
    assert sorted(batches(mapping)[:2]) == ["x1x2", "y1"]
    assert batches(mapping)[2:] == ["x1x2", "x1x2", "x3"]
    mapping.assert_all_done()
    mapping.assert_order_kept(spy)


def test_without_retry_limits_a_bad_record_holds_its_shard_until_it_expires() -> None:
    with KinesisMapping(names("a"), retention=3600) as mapping:
        mapping.send("a", "b", key="k")
        mapping.send("c", key="k", after=3000)
        mapping.run()
    assert mapping.in_state(RecordState.EXPIRED) == ["a", "b"]
    assert mapping.done == ["c"]
    assert mapping.now > 3600
    with pytest.raises(AssertionError, match="2 of 3 records are lost"):
        mapping.assert_nothing_lost()


def test_tries_without_end_do_not_run_out_of_numbers() -> None:
    with KinesisMapping(names("a"), retention=86_400 * 2) as mapping:
        mapping.send("a", key="k")
        mapping.run()
    assert len(mapping.invocations) > 2500


def test_records_too_old_are_given_up_before_they_are_delivered() -> None:
    with KinesisMapping(names("a"), maximum_record_age=60, on_failure=True) as mapping:
        mapping.send("a", key="k")
        mapping.send("b", key="k", after=1)
        mapping.send("c", key="k", after=50)
        mapping.run()
    assert mapping.discarded == ["a", "b"]
    assert mapping.done == ["c"]
    assert "to the failure destination, older than 60 s: a" in str(mapping)


# --- splitting ----------------------------------------------------------------------------------------


def test_splitting_isolates_the_record_that_raises() -> None:
    with KinesisMapping(
        raises_at("c"), bisect_batch_on_function_error=True, maximum_retry_attempts=1, on_failure=True
    ) as mapping:
        mapping.send(*"abcd", key="k")
        mapping.run()
    assert batches(mapping) == ["abcd", "ab", "cd", "c", "c", "d"]
    assert (mapping.done, mapping.discarded) == (["a", "b", "d"], ["c"])


def test_a_partial_response_cuts_where_it_says_and_that_is_no_retry() -> None:
    with KinesisMapping(
        names("c"), bisect_batch_on_function_error=True, maximum_retry_attempts=1, on_failure=True
    ) as mapping:
        mapping.send(*"abcd", key="k")
        mapping.run()
    assert batches(mapping) == ["abcd", "cd", "cd"]
    assert mapping.discarded == ["c", "d"]


# --- batches ------------------------------------------------------------------------------------------


def test_a_window_is_waited_for_and_a_full_batch_is_not() -> None:
    with KinesisMapping(names(), batch_size=2, maximum_batching_window=10) as mapping:
        mapping.send("a", key="k")
        mapping.send("b", key="k", after=4)
        mapping.send("c", key="k", after=5)
        mapping.run()
    assert (batches(mapping), times(mapping)) == (["ab", "c"], [4, 15])


def test_several_batches_of_a_shard_and_never_one_key_in_two() -> None:
    spy = HandlerSpy(scripted({"x1": [fail()]}, otherwise=succeed(after=1)))
    with KinesisMapping(batch_handler(spy), parallelization_factor=4, batch_size=3) as mapping:
        for at in range(6):
            for key in "xyzuvw":
                mapping.send(f"{key}{at}", key=key)
        mapping.run()
    began_first = [each for each in mapping.invocations if each.began == 0]
    assert len(began_first) > 1
    keys = [{record.lane for record in each.records} for each in began_first]
    assert sum(map(len, keys)) == len(set().union(*keys))
    mapping.assert_all_done()
    mapping.assert_order_kept(spy)
    spy.assert_lanes_in_turn()


def test_replies_that_get_lost_and_crashes_lose_nothing_and_keep_the_order() -> None:
    spy = HandlerSpy(succeed(after=0.1))
    with KinesisMapping(
        batch_handler(spy), duplicate_rate=0.3, crash_rate=0.3, seed=5, batch_size=4, shards=2
    ) as mapping:
        for at in range(10):
            for key in "xyz":
                mapping.send(f"{key}{at}", key=key, after=at * 0.3)
        mapping.run()
    assert "its reply got lost" in str(mapping)
    assert "its process crashed" in str(mapping)
    mapping.assert_all_done()
    mapping.assert_nothing_lost(spy)
    mapping.assert_order_kept(spy)


def test_without_the_feature_no_checkpoint_is_read() -> None:
    with KinesisMapping(names("b"), report_batch_item_failures=False) as mapping:
        mapping.send(*"abc", key="k")
        mapping.run()
    assert batches(mapping) == ["abc"]
    assert mapping.lost == ["b"]


# --- tumbling windows ---------------------------------------------------------------------------------


def counting(event: Any, context: Any) -> Any:
    state = event["state"]
    return {"state": {"count": state.get("count", 0) + len(event["Records"])}, "batchItemFailures": []}


def test_a_window_passes_its_state_on_and_ends_with_an_invocation_of_its_own() -> None:
    with KinesisMapping(counting, tumbling_window=60, batch_size=2) as mapping:
        for after in (0, 10, 20, 70):
            mapping.send(f"r{after}", key="k", after=after)
        mapping.run()
    events = [each.event for each in mapping.invocations]
    assert [(event["state"], event["isFinalInvokeForWindow"]) for event in events] == [
        ({}, False),
        ({"count": 1}, False),
        ({"count": 2}, False),
        ({"count": 3}, True),
        ({}, False),
        ({"count": 1}, True),
    ]
    assert times(mapping) == [0, 10, 20, 60, 70, 120]
    assert events[3]["window"] == {"start": "2026-09-21T14:13:20Z", "end": "2026-09-21T14:14:20Z"}
    assert events[3]["shardId"] == "shardId-000000000000"
    assert events[3]["eventSourceARN"].endswith(":stream/orders")
    mapping.assert_all_done()


def test_our_handlers_echo_the_state_of_a_window() -> None:
    spy = HandlerSpy(scripted({"b": [fail()]}))
    with KinesisMapping(batch_handler(spy), tumbling_window=30) as mapping:
        mapping.send("a", "b", "c", key="k")
        mapping.run()
    assert batches(mapping) == ["abc", "bc", ""]
    mapping.assert_all_done()


def test_a_reply_without_state_fails_its_invocation() -> None:
    replies = iter([{"batchItemFailures": []}, {"state": {}}, {}, {"state": None}])
    with KinesisMapping(lambda event, context: next(replies), tumbling_window=30) as mapping:
        mapping.send("a", key="k")
        mapping.run()
    assert batches(mapping) == ["a", "a", "", ""]
    assert mapping.invocations[0].verdict.reason == "the reply has no state, which a tumbling window needs"
    mapping.assert_all_done()


def test_a_state_that_is_too_large_ends_its_window_early() -> None:
    def grows(event: Any, context: Any) -> Any:
        return {"state": {"text": "x" * 2**20}}

    with KinesisMapping(grows, tumbling_window=60) as mapping:
        mapping.send("a", key="k")
        mapping.send("b", key="k", after=10)
        mapping.run()
    flags = [
        (each.event["isFinalInvokeForWindow"], each.event["isWindowTerminatedEarly"])
        for each in mapping.invocations
    ]
    assert flags == [(False, False), (True, True)] * 2
    assert times(mapping) == [0, 0, 10, 10]


def test_a_final_invocation_that_always_fails_does_not_come_for_ever() -> None:
    def fails_at_the_end(event: Any, context: Any) -> Any:
        if event["isFinalInvokeForWindow"]:
            raise ValueError
        return {"state": {}}

    with KinesisMapping(fails_at_the_end, tumbling_window=30, maximum_retry_attempts=2) as mapping:
        mapping.send("a", key="k")
        mapping.send("b", key="k", after=31)
        mapping.run()
    assert batches(mapping) == ["a", "", "", "", "b", "", "", ""]
    mapping.assert_all_done()


# --- DynamoDB Streams ---------------------------------------------------------------------------------


def test_a_table_tells_its_changes() -> None:
    seen: list[Any] = []

    @batch_handler
    async def function(record: DynamoDBRecord[Any]) -> None:
        seen.append(
            (record.event_name.name if record.event_name else None, record.new_image, record.old_image)
        )

    with DynamoDBMapping(function) as mapping:
        mapping.put({"id": "o-1", "n": 1}, {"id": "o-1", "n": 2})
        mapping.remove("o-1")
        mapping.put({"id": "o-1", "n": 3})
        mapping.run()
    assert seen == [
        ("INSERT", {"id": "o-1", "n": 1}, {}),
        ("MODIFY", {"id": "o-1", "n": 2}, {"id": "o-1", "n": 1}),
        ("REMOVE", {}, {"id": "o-1", "n": 2}),
        ("INSERT", {"id": "o-1", "n": 3}, {}),
    ]
    assert mapping.done == [
        '{"id": "o-1", "n": 1}',
        '{"id": "o-1", "n": 2}',
        'removed {"id": "o-1"}',
        '{"id": "o-1", "n": 3}',
    ]


def test_the_changes_of_an_item_stay_in_order() -> None:
    spy = HandlerSpy(
        scripted({'{"number": 7, "price": 1.5}': [fail(), hang()]}, otherwise=succeed(after=0.1)),
    )
    with DynamoDBMapping(batch_handler(spy), shards=3) as mapping:
        for price in ("1.0", "1.5", "2.0"):
            for number in (7, 8, 9):
                mapping.put({"number": number, "price": Decimal(price)}, key="number")
        mapping.run()
    mapping.assert_all_done()
    mapping.assert_nothing_lost(spy)
    mapping.assert_order_kept(spy)


def test_what_is_not_there_cannot_be_removed() -> None:
    with DynamoDBMapping(names()) as mapping, pytest.raises(KeyError, match="o-1"):
        mapping.remove("o-1")


# --- Kafka --------------------------------------------------------------------------------------------


def kafka(failing: str) -> Callable[[Any, Any], Any]:
    """A function that names only the lowest failed offset of each partition."""

    def function(event: Any, context: Any) -> Any:
        failures = []
        for name, log in event["records"].items():
            bad = [raw["offset"] for raw in log if KafkaRecord(raw).text == failing]
            if bad:
                failures.append({"itemIdentifier": {"partition": name, "offset": min(bad)}})
        return {"batchItemFailures": failures}

    return function


def test_only_what_is_named_comes_again_or_all_from_there() -> None:
    for redelivers, second in (("named", "b"), ("from lowest named", "bc")):
        with KafkaMapping(
            kafka("b"),
            partitions=2,
            redelivers=redelivers,
            maximum_retry_attempts=1,  # type: ignore[arg-type]
        ) as mapping:
            mapping.send("a", "b", "c", partition=0)
            mapping.send("d", "e", partition=1)
            mapping.run()
        assert batches(mapping) == ["abcde", second]


@pytest.mark.parametrize("redelivers", ["named", "from lowest named"])
def test_our_replies_are_safe_under_both_readings(redelivers: Any) -> None:
    spy = HandlerSpy(scripted({"b": [fail(), fail()], "e": [fail()]}, otherwise=succeed(after=0.1)))
    handler = batch_handler(raise_on_failure="never")(spy)
    with KafkaMapping(handler, partitions=2, redelivers=redelivers) as mapping:
        mapping.send("a", "b", "c", partition=0)
        mapping.send("d", "e", "f", partition=1)
        mapping.send("g", "h", partition=0, after=1)
        mapping.run()
    mapping.assert_all_done()
    mapping.assert_nothing_lost(spy)
    mapping.assert_order_kept(spy)


def test_by_key_it_is_the_keys_that_keep_their_order() -> None:
    spy = HandlerSpy(scripted({"x0": succeed(after=1)}, otherwise=succeed()))
    handler = batch_handler(ordering=Ordering.BY_KEY, raise_on_failure="never")(spy)
    with KafkaMapping(handler, maximum_batching_window=0) as mapping:
        for at in range(3):
            for key in "xy":
                mapping.send(f"{key}{at}", key=key)
        mapping.run()
    mapping.assert_order_kept(spy, lane=lambda record: record.raw["key"])
    with pytest.raises(AssertionError, match="in lane 'orders-0'"):
        mapping.assert_order_kept(spy)


def test_a_key_has_its_partition_and_records_without_one_take_turns() -> None:
    with KafkaMapping(kafka("-"), partitions=3) as mapping:
        mapping.send("a", "b", key="k")
        mapping.send("c", "d", "e", "f")
        mapping.send(None, partition=2)
        mapping.run()
    where = [record.raw["partition"] for record in mapping.records]
    assert where[0] == where[1]
    assert where[2:] == [0, 1, 2, 0, 2]
    assert mapping.records[-1].raw["value"] is None
    assert json.loads(json.dumps(mapping.invocations[0].event)) == mapping.invocations[0].event


# --- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: KinesisMapping(names(), parallelization_factor=11),
            "parallelization_factor: is 11. It goes from 1 to 10.",
        ),
        (
            lambda: KinesisMapping(names(), parallelization_factor=2, tumbling_window=60),
            "parallelization_factor: is 2 with a tumbling window.",
        ),
        (
            lambda: KinesisMapping(names(), maximum_record_age=10),
            "maximum_record_age: is 10. It goes from 60 to 604800.",
        ),
        (
            lambda: DynamoDBMapping(names(), maximum_retry_attempts=-2),
            "maximum_retry_attempts: is -2. It goes from -1 to 10000.",
        ),
        (lambda: KafkaMapping(names(), partitions=0), "partitions: is 0. It goes from 1 to 10000."),
        (
            lambda: KinesisMapping(names()).send("a", key="k", after=-1),
            "after: is -1. Records are sent now or later.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_aws_refuses_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(InvalidOptionError) as told:
        make()
    assert str(told.value).startswith(text)
