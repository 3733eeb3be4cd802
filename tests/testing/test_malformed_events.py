"""Malformed events on demand: the engine makes of each what is expected, and who loses records is caught."""

import asyncio
import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch import AsyncBatchError, BatchEngine, EventSource, InvalidEventError, batch_handler
from asyncbatch.testing import (
    HandlerSpy,
    MalformedEvent,
    dynamodb_event,
    malformed_events,
    run_virtual,
    sqs_event,
)

SQS, FIFO, KINESIS, DYNAMODB, KAFKA = EventSource

EVENTS = [
    pytest.param(malformed, id=f"{source.value}: {malformed}")
    for source in EventSource
    for malformed in malformed_events(source)
]


async def read(record: Any) -> None:
    record.json()


def named(source: EventSource, name: str) -> MalformedEvent:
    (found,) = [each for each in malformed_events(source) if each.name == name]
    return found


@pytest.mark.parametrize("malformed", EVENTS)
def test_the_engine_makes_of_each_what_is_expected(malformed: MalformedEvent) -> None:
    spy = HandlerSpy(read, label=repr, lane=repr)
    malformed.check(batch_handler(raise_on_failure="never")(spy))
    if malformed.expected == "refused":
        with pytest.raises(InvalidEventError):
            BatchEngine().run(malformed.event, spy)
        assert spy.calls == []
        return
    report = BatchEngine(raise_on_failure="never").run(malformed.event, spy)
    failed = [each.position for each in report.unsuccessful if type(each).__name__ == "Failed"]
    if malformed.expected == "retried":
        with pytest.raises(AsyncBatchError):
            report.response()
    else:
        assert failed == list(malformed.expected)


@pytest.mark.parametrize("source", [KINESIS, KAFKA])
def test_where_a_failure_fails_the_batch_that_is_right_too(source: EventSource) -> None:
    for malformed in malformed_events(source):
        malformed.check(batch_handler(raise_on_failure="any")(read))


def test_every_source_has_them_and_no_name_is_there_twice() -> None:
    for source in EventSource:
        found = [each.name for each in malformed_events(source)]
        assert len(set(found)) == len(found) > 40
        expectations = {str(each.expected) for each in malformed_events(source.value)}
        assert {"refused", "()", "(1,)"} <= expectations


def test_the_same_seed_gives_the_same_events_and_another_one_others() -> None:
    first, again, other = ([each.event for each in malformed_events(FIFO, seed=seed)] for seed in (1, 1, 2))
    assert first == again != other


def test_each_event_is_its_own_and_a_check_leaves_it_as_it_is() -> None:
    good = sqs_event([{}, {}])
    before = json.dumps(good)
    malformed = next(each for each in malformed_events(SQS, good) if each.expected == ())

    def function(event: Any, context: Any) -> Any:
        assert context.get_remaining_time_in_millis() > 0
        event.clear()
        return {"batchItemFailures": []}

    malformed.check(function)
    assert malformed.event
    assert json.dumps(good) == before


def test_an_event_of_ones_own_is_damaged() -> None:
    own = dynamodb_event([{"number": n} for n in range(3)], key="number")
    spoilt = [each for each in malformed_events(DYNAMODB, own) if each.expected == (1,)]
    assert all(each.event["Records"][2]["dynamodb"]["Keys"] == {"number": {"N": "2"}} for each in spoilt)


def test_an_event_that_cannot_be_damaged_is_an_error() -> None:
    with pytest.raises(ValueError, match="two records or more are needed, but it has 1"):
        malformed_events(SQS, sqs_event(["{}"]))
    with pytest.raises(ValueError, match="the engine's `source` is kinesis"):
        malformed_events(KINESIS, sqs_event(["{}", "{}"]))


def test_it_shows_its_name_and_not_its_event() -> None:
    malformed = named(SQS, "messageId is null")
    assert str(malformed) == "messageId is null"
    assert "Records" not in repr(malformed)


# --- functions that lose records ----------------------------------------------------------------------


def payload(record: Any) -> Any:
    if "body" in record:
        return json.loads(record["body"])
    text = record["kinesis"]["data"] if "kinesis" in record else record["value"]
    return json.loads(base64.b64decode(text))


def identifier(record: Any) -> Any:
    if "kinesis" in record:
        return record["kinesis"]["sequenceNumber"]
    if "offset" in record:
        return {"partition": f"{record['topic']}-{record['partition']}", "offset": record["offset"]}
    return record["messageId"]


def naive(event: Any, context: Any) -> Any:
    """As it is often written: all side by side, then the failed ones are picked out."""
    records = event.get("Records") or [each for log in event.get("records", {}).values() for each in log]

    async def handle(record: Any) -> None:
        payload(record)

    async def main() -> list[Any]:
        return await asyncio.gather(*map(handle, records), return_exceptions=True)

    results = run_virtual(main())
    failed = [
        record for record, result in zip(records, results, strict=True) if isinstance(result, Exception)
    ]
    return {"batchItemFailures": [{"itemIdentifier": identifier(record)} for record in failed]}


def caught(function: Callable[[Any, Any], Any], source: EventSource) -> dict[str, str]:
    """The names of the events that catch a function, and why."""
    found = {}
    for malformed in malformed_events(source):
        try:
            malformed.check(function)
        except AssertionError as error:
            found[malformed.name] = str(error).removeprefix(f"{malformed.name}: ")
    return found


def test_a_naive_function_is_caught() -> None:
    found = caught(naive, SQS)
    assert found["messageId is missing"].startswith("an error was expected; the reply was {")
    assert {"messageId is null", "a record without event source", "records of two event sources"} <= set(
        found
    )
    # It fails these records alone, as it should.
    assert not {name for name in found if name.startswith("body is ")}


def test_a_naive_function_is_caught_where_order_counts() -> None:
    assert re.match(r"record \d would be lost; the reply was {", caught(naive, FIFO)["body is no JSON"])
    assert "positions that do not ascend, and one fails" in caught(naive, KINESIS)
    assert caught(naive, KINESIS)["data is base64 with junk in it"].startswith("record 1 would be lost")
    assert "record 2 would be lost" in caught(naive, KAFKA)["value is no JSON"]


def test_a_function_that_forgets_its_reply_is_caught_by_each() -> None:
    found = caught(lambda event, context: None, SQS)
    assert len(found) == len(malformed_events(SQS))
    assert found["body is null"] == "it is no partial batch response; the reply was None"


def test_a_function_that_looks_at_nothing_is_caught_by_what_it_takes_for_its_own() -> None:
    found = caught(lambda event, context: {"batchItemFailures": []}, SQS)
    assert {"one record is of SNS", "all records are of SNS", "body is null"} <= set(found)


def test_a_function_that_always_raises_is_caught() -> None:
    def function(event: Any, context: Any) -> Any:
        raise LookupError

    found = caught(function, KAFKA)
    assert set(found) == {each.name for each in malformed_events(KAFKA) if each.expected == ()}
    assert found["records is empty"] == "every record can be handled, but LookupError was raised"


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "record 1 would be lost"),
        (["x"], "it names what is no record of the event, which fails the whole batch"),
        ([1, 1], "it names a record more than once"),
        ([0], "record 1 would be lost"),
        ([1], None),
        ([0, 1], None),
    ],
)
def test_a_wrong_reply_is_caught(names: list[Any], problem: str | None) -> None:
    def function(event: Any, context: Any) -> Any:
        ids = [event["Records"][name]["messageId"] if name != "x" else name for name in names]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in ids]}

    assert caught(function, SQS).get("body is null", "None").partition(";")[0] == str(problem)


def test_a_good_record_that_is_named_is_caught() -> None:
    def function(event: Any, context: Any) -> Any:
        return {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in event["Records"]]}

    problem = caught(function, SQS)["a field that nobody knows"]
    assert problem.startswith("nothing is wrong with these records, but some are named")


@pytest.mark.parametrize("named_position", [0, 1, 2])
def test_of_a_stream_the_lowest_name_counts(named_position: int) -> None:
    def function(event: Any, context: Any) -> Any:
        number = event["Records"][named_position]["kinesis"]["sequenceNumber"]
        return {"batchItemFailures": [{"itemIdentifier": number}]}

    assert ("data is null" in caught(function, KINESIS)) == (named_position > 1)
