"""SQS in simulation: visibility, receive counts, redrive, groups; and what the mapping does with replies."""

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch import InvalidOptionError, SqsRecord, batch_handler
from asyncbatch.testing import (
    HandlerSpy,
    RecordState,
    SqsFifoMapping,
    SqsMapping,
    block,
    fail,
    hang,
    scripted,
    succeed,
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncbatch")


def bodies(event: Any) -> list[str]:
    return [record["body"] for record in event["Records"]]


def names(*failing: str) -> Callable[[Any, Any], Any]:
    """A function whose reply names the messages with these bodies."""

    def function(event: Any, context: Any) -> Any:
        ids = [record["messageId"] for record in event["Records"] if record["body"] in failing]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in ids]}

    return function


def when(mapping: Any) -> list[tuple[float, list[str]]]:
    """When the function was called, and with what."""
    return [(each.began, sorted(record.label for record in each.records)) for each in mapping.invocations]


# --- both kinds ---------------------------------------------------------------------------------------


def test_what_is_not_named_is_deleted_and_the_rest_comes_again_after_the_visibility_timeout() -> None:
    with SqsMapping(names("b"), visibility_timeout=40) as mapping:
        mapping.send("a", "b", "c")
        mapping.run(until=81)
    assert when(mapping) == [(0, ["a", "b", "c"]), (40, ["b"]), (80, ["b"])]
    assert (mapping.done, mapping.waiting, mapping.now) == (["a", "c"], ["b"], 81)


def test_a_message_goes_to_the_dead_letter_queue_after_its_last_receive() -> None:
    with SqsMapping(names("b"), max_receive_count=3) as mapping:
        mapping.send("a", "b")
        mapping.run()
    assert mapping.dead_letters == ["b"]
    assert [record.deliveries for record in mapping.records] == [1, 3]
    with pytest.raises(
        AssertionError, match="1 of 2 records are not done:\n  'b': dead letter, delivered 3 times"
    ):
        mapping.assert_all_done()
    mapping.assert_nothing_lost()


def test_without_a_dead_letter_queue_a_message_comes_until_its_retention_is_over() -> None:
    with SqsMapping(names("b"), max_receive_count=None, retention=600) as mapping:
        mapping.send("b")
        mapping.run()
    assert len(mapping.invocations) == 20
    assert mapping.in_state(RecordState.EXPIRED) == ["b"]
    with pytest.raises(AssertionError, match="1 of 1 records are lost:\n  'b': expired"):
        mapping.assert_nothing_lost()


def test_each_receive_counts_and_has_a_handle_of_its_own() -> None:
    seen: list[tuple[str, str, str]] = []

    def function(event: Any, context: Any) -> None:
        (record,) = event["Records"]
        attributes = record["attributes"]
        first = attributes["ApproximateFirstReceiveTimestamp"]
        seen.append((attributes["ApproximateReceiveCount"], first, record["receiptHandle"]))
        raise ValueError

    with SqsMapping(function, max_receive_count=3) as mapping:
        mapping.send("a", after=7)
        mapping.run()
    assert [count for count, _, _ in seen] == ["1", "2", "3"]
    assert {first for _, first, _ in seen} == {"1790000007000"}
    assert len({handle for _, _, handle in seen}) == 3


@pytest.mark.parametrize("mapping_class", [SqsMapping, SqsFifoMapping])
@pytest.mark.parametrize("fate", ["raises", "times out", "ends its process", "names nothing known"])
def test_a_failed_invocation_fails_its_whole_batch(fate: str, mapping_class: Any) -> None:
    def function(event: Any, context: Any) -> Any:
        if event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2":
            return None
        if fate == "raises":
            raise ValueError
        if fate == "ends its process":
            raise SystemExit
        if fate == "times out":
            asyncio.run(asyncio.sleep(4))
        return {"batchItemFailures": [{"itemIdentifier": "no"}]}

    with mapping_class(function) as mapping:
        mapping.send("a", "b", **({"group": "g"} if mapping_class is SqsFifoMapping else {}))
        mapping.run()
    assert when(mapping) == [(0, ["a", "b"]), (30, ["a", "b"])]
    environments = [each.environment for each in mapping.invocations]
    assert environments == ([1, 2] if fate in {"times out", "ends its process"} else [1, 1])
    mapping.assert_all_done()


def test_without_the_feature_failures_are_lost_and_that_is_told() -> None:
    with SqsMapping(names("b"), report_batch_item_failures=False) as mapping:
        mapping.send("a", "b")
        mapping.run()
    assert mapping.done == ["a", "b"]
    assert mapping.lost == ["b"]
    assert "LOST: the reply names b, and without ReportBatchItemFailures nobody reads it" in str(mapping)
    for check in (mapping.assert_all_done, mapping.assert_nothing_lost):
        with pytest.raises(AssertionError, match="'b': lost in silence"):
            check()


def test_a_whole_batch_can_be_failed_where_the_reply_is_not_read() -> None:
    spy = HandlerSpy(scripted({"b": [fail()]}))
    handler = batch_handler(raise_on_failure="any")(spy)
    with SqsMapping(handler, report_batch_item_failures=False) as mapping:
        mapping.send("a", "b")
        mapping.run()
    mapping.assert_all_done()
    mapping.assert_nothing_lost(spy)
    assert [record.deliveries for record in mapping.records] == [2, 2]


def test_messages_that_come_later_and_a_run_that_goes_on() -> None:
    with SqsMapping(names()) as mapping:
        mapping.send("a", after=100)
        mapping.run(until=50)
        assert (mapping.waiting, mapping.now) == (["a"], 50)
        mapping.send("b", after=10)
        mapping.run()
        assert when(mapping) == [(60, ["b"]), (100, ["a"])]
        mapping.send("c")
        mapping.run()
    assert mapping.done == ["a", "b", "c"]


def test_a_full_batch_goes_at_once_and_a_window_is_waited_for() -> None:
    with SqsMapping(names(), batch_size=3, maximum_batching_window=20) as mapping:
        mapping.send("a")
        mapping.send("b", after=5)
        mapping.send("c", after=6)
        mapping.send("d", after=7)
        mapping.run()
    assert when(mapping) == [(6, ["a", "b", "c"]), (27, ["d"])]


def test_a_window_that_does_not_fit_makes_the_visibility_timeout_longer() -> None:
    with SqsMapping(names("a"), visibility_timeout=10, maximum_batching_window=20, batch_size=50) as mapping:
        mapping.send("a")
        mapping.run(until=100)
    assert [began for began, _ in when(mapping)] == [20, 20 + 53]


def test_batches_run_side_by_side_up_to_the_concurrency() -> None:
    handler = batch_handler(HandlerSpy(succeed(after=2)))
    with SqsMapping(handler, batch_size=2, maximum_concurrency=3) as mapping:
        mapping.send(*"abcdefgh")
        mapping.run()
    assert [each.began for each in mapping.invocations] == [0, 0, 0, 2]
    assert [each.environment for each in mapping.invocations][:3] == [1, 2, 3]
    mapping.assert_all_done()


def test_a_reply_that_gets_lost_brings_the_batch_again() -> None:
    spy = HandlerSpy()
    with SqsFifoMapping(batch_handler(spy), duplicate_rate=0.5, seed=3, max_receive_count=None) as mapping:
        mapping.send(*"abcdefgh", group="g")
        mapping.run()
    assert "its reply got lost on the way" in str(mapping)
    assert len(spy.calls) > 8
    mapping.assert_all_done()


def test_processes_that_crash_lose_nothing() -> None:
    spy = HandlerSpy(succeed(after=0.2))
    with SqsFifoMapping(batch_handler(spy), crash_rate=0.7, seed=1, max_receive_count=None) as mapping:
        mapping.send(*"abcdef", group="g")
        mapping.send(*"uvwxyz", group="h")
        mapping.run()
    assert "its process crashed" in str(mapping)
    mapping.assert_all_done()
    mapping.assert_nothing_lost(spy)
    mapping.assert_order_kept(spy)


def test_a_seed_replays_and_another_one_differs() -> None:
    def journal(seed: int) -> str:
        with SqsMapping(names("b"), seed=seed, duplicate_rate=0.2, batch_size=2) as mapping:
            mapping.send(*"abcdefgh")
            return str(mapping.run())

    assert journal(4) == journal(4) != journal(5)


def test_no_end_is_an_error() -> None:
    with SqsMapping(names("a"), max_receive_count=None) as mapping:
        mapping.send("a")
        with pytest.raises(RuntimeError, match="no end after 10 invocations\nthe end of the journal:"):
            mapping.run(max_invocations=10)


# --- a standard queue ---------------------------------------------------------------------------------


def test_order_is_anybodys_guess() -> None:
    orders: set[str] = set()

    def function(event: Any, context: Any) -> None:
        orders.add("".join(bodies(event)))

    for seed in range(20):
        with SqsMapping(function, seed=seed) as mapping:
            mapping.send("a", "b", "c")
            mapping.run()
    assert len(orders) > 3


def test_a_message_may_come_twice_even_at_the_same_time() -> None:
    spy = HandlerSpy(succeed(after=1))
    with SqsMapping(batch_handler(spy), duplicate_rate=0.3, seed=2, max_receive_count=None) as mapping:
        mapping.send(*"abcdefghij")
        mapping.run()
    mapping.assert_all_done()
    at_once = [
        (one.label, one.started)
        for one, other in itertools.combinations(spy.calls, 2)
        if one.label == other.label and one.started < other.ended and other.started < one.ended
    ]
    assert at_once


def test_a_message_that_was_received_again_is_not_deleted_by_the_old_receipt() -> None:
    """Its handler took longer than it was hidden, and by then another environment had it."""
    spy = HandlerSpy(scripted({"a": [block(20), fail()]}, otherwise=succeed()))

    def slow(event: Any, context: Any) -> Any:
        async def main() -> Any:
            try:
                await spy(SqsRecord(event["Records"][0]))
            except ValueError:
                return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}

        return asyncio.run(main())

    with SqsMapping(slow, visibility_timeout=20, function_timeout=20, maximum_batching_window=0) as mapping:
        mapping.send("a")
        mapping.run()
    assert [call.started for call in spy.calls] == [0, 20, 40]
    assert "not deleted, its visibility timeout was over before the reply: a" in str(mapping)
    assert mapping.done == ["a"]


# --- a FIFO queue -------------------------------------------------------------------------------------


def test_nothing_of_a_group_comes_while_an_earlier_one_is_hidden() -> None:
    with SqsFifoMapping(names("b"), max_receive_count=2) as mapping:
        mapping.send("a", "b", "c", group="x")
        mapping.send("d", group="y")
        mapping.run()
    # Only b is named, so c is deleted although b was not processed: that is what the reply said.
    assert when(mapping) == [(0, ["a", "b", "c", "d"]), (30, ["b"])]
    assert mapping.dead_letters == ["b"]


def test_a_group_goes_on_behind_what_became_a_dead_letter() -> None:
    spy = HandlerSpy(scripted({"b": fail()}))
    with SqsFifoMapping(batch_handler(spy), max_receive_count=3) as mapping:
        mapping.send("a", "b", group="x")
        mapping.send("c", group="x", after=1)
        mapping.run()
    assert when(mapping) == [(0, ["a", "b"]), (30, ["b", "c"]), (60, ["b", "c"]), (90, ["c"])]
    assert (mapping.done, mapping.dead_letters) == (["a", "c"], ["b"])
    mapping.assert_order_kept(spy)
    mapping.assert_nothing_lost(spy)


def test_groups_run_side_by_side_and_a_group_with_itself_never() -> None:
    spy = HandlerSpy(succeed(after=2))
    with SqsFifoMapping(batch_handler(spy), batch_size=2, function_timeout=10) as mapping:
        for group in "xyz":
            mapping.send(*(f"{group}{at}" for at in range(4)), group=group)
        mapping.run()
    assert [each.began for each in mapping.invocations] == [0, 0, 0, 4, 4, 4]
    mapping.assert_all_done()
    spy.assert_lanes_in_turn()
    mapping.assert_order_kept(spy)


def test_a_batch_takes_all_of_one_group_before_the_next() -> None:
    with SqsFifoMapping(names(), batch_size=4) as mapping:
        for at in range(3):
            mapping.send(f"x{at}", group="x")
            mapping.send(f"y{at}", group="y")
        mapping.run(until=0)
    assert [record.label for record in mapping.invocations[0].records] == ["x0", "x1", "x2", "y0"]


def test_a_reply_after_the_visibility_timeout_deletes_nothing() -> None:
    with SqsFifoMapping(
        batch_handler(HandlerSpy(scripted({"a": [block(9.5)]}))),
        visibility_timeout=10,
        function_timeout=10,
        max_receive_count=3,
    ) as mapping:
        mapping.send("a", group="x")
        mapping.run(until=0)
        assert mapping.invocations[0].ended == 9.5
        (message,) = mapping._messages
        message.visible_at = 9.0  # as if its receive had been earlier than its invocation
        mapping.run()
    assert "not deleted, its visibility timeout was over before the reply: a" in str(mapping)
    mapping.assert_all_done()
    assert mapping.records[0].deliveries == 2


# --- what the assertions find -------------------------------------------------------------------------


def test_a_function_that_swallows_failures_is_found() -> None:
    spy = HandlerSpy(scripted({"b": fail()}))

    @batch_handler
    async def swallows(record: SqsRecord) -> None:
        with contextlib.suppress(ValueError):
            await spy(record)

    with SqsMapping(swallows) as mapping:
        mapping.send("a", "b")
        mapping.run()
    mapping.assert_nothing_lost()
    with pytest.raises(
        AssertionError, match="no handler had returned for them:\n  'b': done, delivered 1 times"
    ):
        mapping.assert_nothing_lost(spy)


def test_a_function_that_breaks_a_groups_order_is_found() -> None:
    spy = HandlerSpy(scripted({"a": [fail()]}))

    def unordered(event: Any, context: Any) -> Any:
        async def one(raw: Any) -> Any:
            try:
                await spy(SqsRecord(raw))
            except ValueError:
                return {"itemIdentifier": raw["messageId"]}
            return None

        async def main() -> Any:
            results = await asyncio.gather(*map(one, event["Records"]))
            return {"batchItemFailures": [result for result in results if result]}

        return asyncio.run(main())

    with SqsFifoMapping(unordered) as mapping:
        mapping.send("a", "b", group="x")
        mapping.run()
    with pytest.raises(AssertionError) as told:
        mapping.assert_order_kept(spy)
    text = str(told.value)
    assert text.startswith("in lane 'x', 'b' was begun at 0 s, before 'a' had been handled:")
    assert "invocation 1 in environment 1: a, b" in text
    assert text.endswith("seed: 0")


def test_what_happened_can_be_read() -> None:
    spy = HandlerSpy(scripted({"b": [hang()]}, otherwise=succeed(after=0.5)))
    with SqsFifoMapping(batch_handler(spy)) as mapping:
        mapping.send("a", "b", group="x")
        mapping.send("c" * 50, group="y")
        mapping.run()
    shown = "c" * 39 + "…"
    assert str(mapping).splitlines() == [
        f"     0.000 s  invocation 1 in environment 1: a, b, {shown}",
        "     2.700 s  invocation 1 ended: the reply names 1 of 3",
        f"     2.700 s  deleted: a, {shown}",
        "     2.700 s  not deleted, visible again after the visibility timeout: b",
        "    30.000 s  invocation 2 in environment 1: b",
        "    30.500 s  invocation 2 ended: batchItemFailures is empty",
        "    30.500 s  deleted: b",
    ]
    assert repr(mapping) == "<SqsFifoMapping at 30.5 s: 3 done>"


def test_many_records_are_counted() -> None:
    with SqsMapping(names(), batch_size=50, maximum_batching_window=1) as mapping:
        mapping.send(*range(12))
        mapping.run()
    assert str(mapping).splitlines()[0].endswith(" and 2 more")
    assert json.loads(mapping.done[3]) == 3


def test_two_records_of_one_payload_cannot_be_told_apart() -> None:
    spy = HandlerSpy()
    with SqsMapping(batch_handler(spy)) as mapping:
        mapping.assert_nothing_lost(spy)
        mapping.send("a", "a", "b")
        mapping.run().assert_all_done()
    for check in (mapping.assert_nothing_lost, mapping.assert_order_kept):
        with pytest.raises(ValueError, match="2 records have the payload 'a': with a spy, payloads"):
            check(spy)


def test_a_function_can_send_and_cannot_run() -> None:
    def function(event: Any, context: Any) -> None:
        if bodies(event) == ["a"]:
            mapping.send("b", after=5)
        else:
            mapping.run()

    with SqsMapping(function, max_receive_count=1) as mapping:
        mapping.send("a")
        mapping.run()
    assert when(mapping) == [(0, ["a"]), (5, ["b"])]
    assert repr(mapping.invocations[1].error) == (
        "RuntimeError('run() is at work: a function cannot call it, but it can send')"
    )
    assert (mapping.done, mapping.dead_letters) == (["a"], ["b"])


# --- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SqsMapping(names(), batch_size=0), "batch_size: is 0. It goes from 1 to 10000."),
        (lambda: SqsMapping(names(), batch_size=None), "batch_size: is None. It goes from 1 to 10000."),  # type: ignore[arg-type]
        (lambda: SqsMapping(names(), batch_size=2.5), "batch_size: is 2.5. It is a whole number."),  # type: ignore[arg-type]
        (lambda: SqsMapping(names(), batch_size=True), "batch_size: is True. It goes from 1 to 10000."),
        (lambda: SqsMapping(names(), batch_size=11), "batch_size: is 11 without a batching window."),
        (lambda: SqsFifoMapping(names(), batch_size=11), "batch_size: is 11. It goes from 1 to 10."),
        (
            lambda: SqsMapping(names(), function_timeout=60),
            "visibility_timeout: is 30 s, below the function's timeout of 60 s.",
        ),
        (lambda: SqsMapping(names(), function_timeout=0), "function_timeout: is 0. It goes from 0 to 900."),
        (lambda: SqsMapping(names(), duplicate_rate=2), "duplicate_rate: is 2. It goes from 0 to 1."),
        (
            lambda: SqsMapping(names(), max_receive_count=0),
            "max_receive_count: is 0. It goes from 1 to 1000.",
        ),
        (
            lambda: SqsMapping(names(), crash_rate=0.1, virtual=False),
            "crash_rate: cannot be had in real time. Leave virtual=True.",
        ),
        (lambda: SqsMapping("app.handler"), "function: cannot be called."),  # type: ignore[arg-type]
        (lambda: SqsMapping(names()).send("a", after=-1), "after: is -1. Messages are sent now or later."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_aws_refuses_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(InvalidOptionError) as told:
        make()
    assert str(told.value).startswith(text)
