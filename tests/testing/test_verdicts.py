"""What an event source mapping makes of each reply: the table of AWS's rules, row by row."""

import json
from typing import Any

import pytest

from asyncbatch import EventSource
from asyncbatch.testing import SqsMapping, Verdict
from asyncbatch.testing._verdicts import verdict_of

SQS, FIFO, KINESIS, DYNAMODB, KAFKA = EventSource
IDS = {
    SQS: ["m-1", "m-2", "m-3"],
    FIFO: ["m-1", "m-2", "m-3"],
    KINESIS: ["101", "102", "103"],
    DYNAMODB: ["101", "102", "103"],
    KAFKA: [{"partition": "orders-0", "offset": at} for at in (7, 8, 9)],
}
ALL = {0, 1, 2}
NONE: set[int] = set()


def verdict(source: EventSource, reply: Any, *, read: bool = True) -> Verdict:
    return verdict_of(source, IDS[source], json.dumps(reply), read=read)


# Reply: what fails, and for which event sources AWS's documentation or tests validated against AWS say so.
ROWS: dict[str, tuple[Any, set[int], set[EventSource]]] = {
    "an empty list of failures": ({"batchItemFailures": []}, NONE, {SQS, FIFO, KINESIS, DYNAMODB}),
    "null for the list": ({"batchItemFailures": None}, NONE, {SQS, FIFO, KINESIS, DYNAMODB}),
    "an empty object": ({}, NONE, {SQS, FIFO, KINESIS, DYNAMODB}),
    "null": (None, NONE, {SQS, FIFO, KINESIS, DYNAMODB}),
    "an empty identifier": (
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        ALL,
        {SQS, FIFO, KINESIS, DYNAMODB},
    ),
    "a null identifier": (
        {"batchItemFailures": [{"itemIdentifier": None}]},
        ALL,
        {SQS, FIFO, KINESIS, DYNAMODB},
    ),
    "a wrong key": ({"batchItemFailures": [{"foo": 123}]}, ALL, {SQS, FIFO, KINESIS, DYNAMODB}),
    "a wrong key with null": ({"batchItemFailures": [{"foo": None}]}, ALL, {SQS, FIFO, KINESIS, DYNAMODB}),
    "an identifier that is not in the batch": (
        {"batchItemFailures": [{"itemIdentifier": 123}]},
        ALL,
        {SQS, FIFO, KINESIS, DYNAMODB},
    ),
    "a foreign one beside a valid one": (
        {"batchItemFailures": [{"itemIdentifier": "101"}, {"itemIdentifier": "999"}]},
        ALL,
        {SQS, FIFO, KINESIS, DYNAMODB},
    ),
    "a text": ("ok", ALL, set()),
    "a number": (200, ALL, set()),
    "true": (True, ALL, set()),
    "a text for the list": ({"batchItemFailures": "none"}, ALL, set()),
    "an object for the list": ({"batchItemFailures": {}}, ALL, set()),
    "other keys alone": ({"statusCode": 200}, NONE, set()),
    "a list of identifiers": ({"batchItemFailures": ["101"]}, ALL, {SQS, FIFO, KINESIS, DYNAMODB}),
}


@pytest.mark.parametrize("source", EventSource)
@pytest.mark.parametrize("row", ROWS)
def test_the_table(row: str, source: EventSource) -> None:
    reply, failed, documented = ROWS[row]
    seen = verdict(source, reply)
    assert seen.failed == failed
    assert seen.invocation_failed == (failed == ALL)
    assert seen.documented == (source in documented)


@pytest.mark.parametrize("source", EventSource)
def test_valid_identifiers(source: EventSource) -> None:
    ids = IDS[source]
    reply = {"batchItemFailures": [{"itemIdentifier": ids[2]}, {"itemIdentifier": ids[1]}]}
    assert verdict(source, reply) == Verdict(frozenset({1, 2}), "the reply names 2 of 3")


@pytest.mark.parametrize(
    ("source", "reply", "failed", "documented"),
    [
        (KINESIS, [], NONE, True),
        (DYNAMODB, [], NONE, True),
        (SQS, [], ALL, False),
        (KINESIS, "", NONE, True),
        (DYNAMODB, "", ALL, False),
        (SQS, "", ALL, False),
    ],
    ids=str,
)
def test_replies_that_only_streams_know(
    source: EventSource, reply: Any, failed: set[int], *, documented: bool
) -> None:
    seen = verdict(source, reply)
    assert (seen.failed, seen.documented) == (failed, documented)


@pytest.mark.parametrize(
    "identifier",
    [
        "orders-0-8",
        {"partition": "orders-0"},
        {"partition": "orders-0", "offset": "8"},
        {"partition": 0, "offset": 8},
    ],
    ids=str,
)
def test_kafkas_identifier_is_an_object_with_both_parts(identifier: Any) -> None:
    assert verdict(KAFKA, {"batchItemFailures": [{"itemIdentifier": identifier}]}).failed == ALL


def test_kafkas_identifier_may_have_its_parts_in_any_order() -> None:
    reply = {"batchItemFailures": [{"itemIdentifier": {"offset": 8, "partition": "orders-0"}}]}
    assert verdict(KAFKA, reply).failed == {1}


def test_a_number_is_not_its_text() -> None:
    assert verdict(KINESIS, {"batchItemFailures": [{"itemIdentifier": 102}]}).failed == ALL
    assert verdict(KINESIS, {"batchItemFailures": [{"itemIdentifier": "102"}]}).failed == {1}


def test_an_identifier_named_twice_is_no_rule_of_awss() -> None:
    seen = verdict(SQS, {"batchItemFailures": [{"itemIdentifier": "m-1"}] * 2})
    assert (seen.failed, seen.documented) == ({0}, False)


def test_two_copies_of_a_message_fail_together() -> None:
    reply = json.dumps({"batchItemFailures": [{"itemIdentifier": "m-1"}]})
    assert verdict_of(SQS, ["m-1", "m-2", "m-1"], reply, read=True).failed == {0, 2}


@pytest.mark.parametrize("source", EventSource)
def test_replies_that_are_no_json(source: EventSource) -> None:
    assert verdict_of(source, IDS[source], None, read=True).failed == ALL
    assert verdict(source, {"batchItemFailures": [], "mean": float("nan")}).failed == ALL
    assert verdict(source, {"batchItemFailures": [], "text": "x" * 7_000_000}).failed == ALL


@pytest.mark.parametrize("source", EventSource)
@pytest.mark.parametrize(
    "reply", [None, "ok", [], {"batchItemFailures": [{"foo": 1}]}, float("nan")], ids=str
)
def test_without_the_feature_every_return_is_success(source: EventSource, reply: Any) -> None:
    seen = verdict(source, reply, read=False)
    assert (seen.failed, seen.ignored, seen.documented) == (NONE, NONE, True)


@pytest.mark.parametrize("source", EventSource)
def test_without_the_feature_what_is_named_is_lost(source: EventSource) -> None:
    reply = {"batchItemFailures": [{"itemIdentifier": IDS[source][1]}, {"itemIdentifier": "x"}, "y"]}
    seen = verdict(source, reply, read=False)
    assert (seen.failed, seen.ignored) == (NONE, {1})


@pytest.mark.parametrize("reply", [b"bytes", {1}, object()], ids=["bytes", "a set", "an object"])
def test_a_reply_that_the_runtime_cannot_write_fails_the_batch(reply: Any) -> None:
    with SqsMapping(lambda event, context: reply, max_receive_count=1) as mapping:
        mapping.send("a")
        mapping.run()
    assert mapping.dead_letters == ["a"]
    assert mapping.invocations[0].verdict.reason == "the reply is no JSON: TypeError"
