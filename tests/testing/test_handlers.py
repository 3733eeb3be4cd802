"""Handlers to order, and the spy that notes what they are called with."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from asyncbatch import BatchEngine, InvalidOptionError
from asyncbatch.powertools import AsyncBatchProcessor, EventType, async_process_partial_response
from asyncbatch.powertools.data_classes import SQSRecord as OurSQSRecord
from asyncbatch.testing import (
    HandlerCall,
    HandlerSpy,
    LambdaContext,
    block,
    clean_up,
    dynamodb_event,
    fail,
    hang,
    kafka_event,
    kinesis_event,
    run_virtual,
    scripted,
    sqs_event,
    sqs_fifo_event,
    succeed,
    swallow_cancellation,
)


def report_of(handler: Any, event: Any, timeout: float | None = None, **options: Any) -> Any:
    async def main() -> Any:
        clock = asyncio.get_running_loop().time
        context = None if timeout is None else LambdaContext(timeout, clock=clock)
        return await BatchEngine(**options).process(event, handler, context)

    return run_virtual(main)


def fates(report: Any) -> list[str]:
    return [type(outcome).__name__ for outcome in report.outcomes]


# --- the spy ------------------------------------------------------------------------------------------


def test_it_notes_order_time_and_how_many_ran() -> None:
    spy = HandlerSpy(scripted({"a": succeed(after=3), "b": succeed(after=1), "c": fail(KeyError, after=1)}))
    assert fates(report_of(spy, sqs_event(["a", "b", "c"]), concurrency=2)) == [
        "Succeeded",
        "Succeeded",
        "Failed",
    ]
    assert spy.order == ["a", "b", "c"]
    assert spy.returned == ["b", "a"]
    assert [(call.started, call.ended) for call in spy.calls] == [(0, 3), (0, 1), (1, 2)]
    assert (spy.running, spy.max_running) == (0, 2)
    spy.assert_at_most(2)
    spy.assert_nothing_runs()


@pytest.mark.parametrize(
    ("event", "lanes"),
    [
        (sqs_fifo_event(["a", "b", "c"], groups=["x", "y", "x"]), {"x": ["a", "c"], "y": ["b"]}),
        (kinesis_event(["a", "b", "c"], keys=["x", "y", "x"]), {"x": ["a", "c"], "y": ["b"]}),
        (kafka_event(["a", "b"], partitions=[0, 0]), {None: ["a", "b"]}),
        (sqs_event(["a", "b"]), {None: ["a", "b"]}),
    ],
    ids=["fifo", "kinesis", "kafka", "sqs"],
)
def test_lanes_are_the_records_keys(event: Any, lanes: Any) -> None:
    spy = HandlerSpy()
    report_of(spy, event)
    assert spy.lanes == lanes


def test_lane_and_label_can_be_said() -> None:
    spy = HandlerSpy(lane=lambda record: record.event_name.name, label=lambda record: record.new_image["id"])
    report_of(spy, dynamodb_event([{"id": "1"}, {"id": "2"}]))
    assert spy.lanes == {"INSERT": ["1", "2"]}


def test_what_is_injected_reaches_the_handler() -> None:
    seen = []

    async def handler(record: Any, lambda_context: Any) -> None:
        seen.append((record.body, lambda_context.function_name))

    report_of(HandlerSpy(handler), sqs_event(["a"]), timeout=10)
    assert seen == [("a", "test")]


class Call:
    """Calls made by hand: in each lane, the labels with start, end and whether they failed."""

    def __init__(self, *calls: tuple[str, float, float | None, bool]) -> None:
        self.spy = HandlerSpy()
        for label, started, ended, failed in calls:
            error = ValueError("secret") if failed else None
            self.spy.calls.append(HandlerCall(label, "x", started, ended, error))


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([("a", 0, 2, False), ("b", 1, 3, False)], "in lane 'x', 'b' was started while 'a' ran:"),
        ([("a", 0, None, False), ("b", 1, 3, False)], "in lane 'x', 'b' was started while 'a' ran:"),
        ([("a", 0, 1, True), ("b", 1, 3, False)], "in lane 'x', 'b' was started although 'a' had failed:"),
        ([("a", 0, 1, False), ("b", 1, 3, False)], None),
        ([("a", 0, 1, True), ("a", 1, 3, False), ("b", 3, 4, False)], None),
        ([("a", 0, 1, False), ("b", 1, 3, True), ("a", 3, 4, False), ("b", 4, 5, False)], None),
        (
            [("a", 0, 1, False), ("b", 1, 3, True), ("a", 3, 4, False), ("c", 4, 5, False)],
            "in lane 'x', 'c' was started although 'b' had failed:",
        ),
        (
            [("a", 0, 9, False), ("b", 1, 2, False)],
            "in lane 'x', 'b' was started while 'a' ran:",
        ),
    ],
    ids=[
        "overlap",
        "never ended",
        "behind a failure",
        "in turn",
        "delivered again",
        "the whole batch delivered again",
        "delivered again, and beyond the failure",
        "within another",
    ],
)
def test_lanes_in_turn(calls: Any, text: str | None) -> None:
    spy = Call(*calls).spy
    if text is None:
        spy.assert_lanes_in_turn()
        return
    with pytest.raises(AssertionError, match=re.escape(text)) as told:
        spy.assert_lanes_in_turn()
    lines = str(told.value).splitlines()[1:]
    assert len(lines) == len(calls)
    assert lines[0].startswith("  'a' of lane 'x', started at 0 s, ")
    assert "secret" not in str(told.value)


def test_what_has_no_lane_has_no_turn() -> None:
    spy = HandlerSpy(scripted({"a": fail(after=1)}, otherwise=succeed(after=1)))
    report_of(spy, sqs_event(["a", "b", "c"]))
    spy.assert_lanes_in_turn()


def test_the_others_tell_what_they_saw_too() -> None:
    spy = HandlerSpy()
    spy.calls = [HandlerCall(str(at), None, at) for at in range(25)]
    spy.max_running = 25
    with pytest.raises(AssertionError, match="25 records ran side by side, more than 24:") as told:
        spy.assert_at_most(24)
    assert str(told.value).endswith("\n  '19' of lane None, started at 19 s, still runs\n  and 5 more")
    with pytest.raises(AssertionError, match="25 calls still run:"):
        spy.assert_nothing_runs()


def test_a_lane_that_the_engine_keeps() -> None:
    spy = HandlerSpy(scripted({"b": fail()}, otherwise=succeed(after=1)))
    event = sqs_fifo_event(["a", "b", "c", "d"], groups=["x", "x", "x", "y"])
    assert fates(report_of(spy, event)) == ["Succeeded", "Failed", "Skipped", "Succeeded"]
    spy.assert_lanes_in_turn()
    assert spy.lanes == {"x": ["a", "b"], "y": ["d"]}


@pytest.mark.parametrize("wrap", [SQSRecord, OurSQSRecord], ids=["Powertools' records", "ours"])
def test_it_spies_under_a_processor_too(wrap: Any) -> None:
    class Processor(AsyncBatchProcessor):
        def _to_batch_type(self, record: Any, event_type: Any, model: Any = None) -> Any:
            return wrap(record)

    spy = HandlerSpy(scripted({"b": fail()}))
    event = sqs_fifo_event(["a", "b"], groups=["x", "y"])
    answer = async_process_partial_response(event, spy, Processor(EventType.SQS))
    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}
    assert (spy.order, spy.returned) == (["a", "b"], ["a"])
    assert spy.lanes == {"x": ["a"], "y": ["b"]}


def test_what_it_cannot_name_is_told() -> None:
    async def unwraps(record: Any) -> None:
        await HandlerSpy()(record.body)

    (outcome,) = report_of(unwraps, sqs_event(["a"])).outcomes
    assert repr(outcome.error).startswith(
        "TypeError('what is a str called, and what is its lane? Pass functions"
    )


# --- handlers to order --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fate", "ended"),
    [(hang(), 9.0), (swallow_cancellation(), 9.0), (swallow_cancellation(100), 109.0), (clean_up(0.1), 9.1)],
    ids=["hangs", "swallows it", "swallows it and goes on", "cleans up"],
)
def test_none_that_was_cancelled_succeeds(fate: Any, ended: float) -> None:
    spy = HandlerSpy(scripted({"a": fate}))

    async def main() -> tuple[Any, float]:
        clock = asyncio.get_running_loop().time
        report = await BatchEngine().process(sqs_event(["a", "b"]), spy, LambdaContext(10, clock=clock))
        replied = clock()
        await asyncio.sleep(200)  # what went on has ended by then
        return report, replied

    report, replied = run_virtual(main)
    assert fates(report) == ["Failed", "Succeeded"]
    assert replied < 10
    assert spy.calls[0].ended == ended


def test_deliveries_come_to_fates_of_their_own() -> None:
    handler = scripted({"a": [fail(), fail(KeyError)], "b": fail()}, otherwise=succeed())
    seen = [fates(report_of(handler, sqs_event(["a", "b", "c"]))) for _ in range(4)]
    assert [each[0] for each in seen] == ["Failed", "Failed", "Succeeded", "Succeeded"]
    assert [each[1:] for each in seen] == [["Failed", "Succeeded"]] * 4


def test_blocking_holds_the_loop() -> None:
    spy = HandlerSpy(scripted({"a": block(5)}, otherwise=succeed(after=1)))
    assert report_of(spy, sqs_event(["b", "a"])).counts.succeeded == 2
    assert [(call.started, call.ended) for call in spy.calls] == [(0, 5), (0, 5)]


def test_blocking_takes_real_time_on_a_real_loop() -> None:
    began = time.monotonic()
    report = BatchEngine().run(sqs_event(["a"]), scripted({"a": block(0.05)}))
    assert report.all_succeeded
    assert time.monotonic() - began >= 0.05


def test_any_async_function_is_a_fate() -> None:
    async def own(record: Any) -> None:
        raise LookupError(record.body)

    (outcome,) = report_of(scripted({"a": own}), sqs_event(["a"])).outcomes
    assert repr(outcome.error) == "LookupError('a')"


@pytest.mark.parametrize("fate", [5, "text", [5], [succeed(), None]], ids=repr)
def test_what_is_no_fate_is_refused_at_once(fate: Any) -> None:
    with pytest.raises(InvalidOptionError, match="script: has something for 'a' that is no async function"):
        scripted({"a": fate})


@pytest.mark.parametrize("make", [ValueError, lambda: asyncio.CancelledError("x"), SystemExit])
def test_errors_of_every_kind(make: Callable[[], BaseException]) -> None:
    assert fates(report_of(scripted({"a": fail(make)}), sqs_event(["a", "b"]))) == ["Failed", "Succeeded"]
