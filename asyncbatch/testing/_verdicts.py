"""What an event source mapping makes of a function's reply.

The rules are those of AWS's documentation and of LocalStack's tests that are marked as validated against AWS.
Where neither says anything, `Verdict.documented` is false and the strict reading is taken: the whole batch failed.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, final

from asyncbatch._sources import EventSource

_MAX_REPLY: Final = 6 * 1024 * 1024
"""Bytes of a synchronous reply: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
_QUEUES: Final = frozenset({EventSource.SQS, EventSource.SQS_FIFO})
_STREAMS: Final = frozenset({EventSource.KINESIS, EventSource.DYNAMODB})
_NAMED: Final = "batchItemFailures"


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a batch.

    Attributes:
        failed: Positions of the records that failed: those that the reply names, or all.
        reason: Why, in a few words.
        documented: Whether AWS says so; else it is this simulator's reading.
        invocation_failed: Whether all failed because there was no reply, or none that could be used.
        ignored: Positions of the records that a reply named which was not read: they are lost.
    """

    failed: frozenset[int]
    reason: str
    documented: bool = True
    invocation_failed: bool = False
    ignored: frozenset[int] = frozenset()


def failed_batch(size: int, reason: str, *, documented: bool = True) -> Verdict:
    """The whole batch failed.

    Args:
        size: Number of records.
        reason: Why.
        documented: Whether AWS says so.
    """
    return Verdict(frozenset(range(size)), reason, documented, invocation_failed=True)


def verdict_of(
    source: EventSource, identifiers: Sequence[object], reply: str | None, *, read: bool
) -> Verdict:
    """What becomes of a batch whose function returned.

    Args:
        source: The event source.
        identifiers: The item identifier of each record.
        reply: The reply as JSON text; None where it cannot be written as JSON.
        read: Whether the mapping has ``ReportBatchItemFailures``.
    """
    size = len(identifiers)
    if reply is None:
        return failed_batch(size, "the reply is no JSON")
    if len(reply) > _MAX_REPLY:
        return failed_batch(size, "the reply has more than 6 MB")
    places = _places(identifiers)
    try:
        answer = json.loads(reply, parse_constant=_refuse_constant)
    except ValueError:  # Python writes NaN, which is none
        if read:
            return failed_batch(size, "the reply is no JSON", documented=source in _QUEUES)
        answer = None
    return _read(source, places, size, answer) if read else _unread(places, answer)


def _places(identifiers: Sequence[object]) -> dict[Hashable, set[int]]:
    places: dict[Hashable, set[int]] = {}
    for position, identifier in enumerate(identifiers):
        places.setdefault(_hashable(identifier), set()).add(position)
    return places


def _hashable(identifier: object) -> Hashable:
    """An identifier to be looked up by: Kafka's is an object, and 1 is not "1", nor True."""
    if isinstance(identifier, Mapping):
        parts: Mapping[Any, Any] = identifier  # pyright: ignore[reportUnknownVariableType] - it is JSON
        return tuple(sorted((str(name), _hashable(value)) for name, value in parts.items()))
    return type(identifier).__name__, identifier if isinstance(identifier, Hashable) else repr(identifier)


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _unread(places: Mapping[Hashable, set[int]], answer: Any) -> Verdict:
    named: set[int] = set()
    if isinstance(answer, dict):
        failures: Any = cast("dict[str, Any]", answer).get(_NAMED)
        for each in failures if isinstance(failures, list) else []:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(each, dict):
                named |= places.get(_hashable(cast("dict[str, Any]", each).get("itemIdentifier")), set())
    return Verdict(frozenset(), "the function returned, and its reply is not read", ignored=frozenset(named))


def _read(source: EventSource, places: Mapping[Hashable, set[int]], size: int, answer: Any) -> Verdict:
    known = source is not EventSource.KAFKA  # of Kafka only valid names are documented
    if answer is None:
        return Verdict(frozenset(), "the reply is null", known)
    if source in _STREAMS and (answer == [] or (answer == "" and source is EventSource.KINESIS)):
        return Verdict(frozenset(), f"the reply is {json.dumps(answer)}")
    if not isinstance(answer, dict):
        return failed_batch(size, f"the reply is no object, but {_kind(answer)}", documented=False)
    reply = cast("dict[str, Any]", answer)
    failures: Any = reply.get(_NAMED)
    if failures is None:
        what = "null" if _NAMED in reply else "not there"
        return Verdict(frozenset(), f"{_NAMED} is {what}", known and reply.keys() <= {_NAMED, "state"})
    if not isinstance(failures, list):
        return failed_batch(size, f"{_NAMED} is no list, but {_kind(failures)}", documented=False)
    return _named(source, places, size, failures)  # pyright: ignore[reportUnknownArgumentType] - it is JSON


def _named(
    source: EventSource, places: Mapping[Hashable, set[int]], size: int, failures: list[Any]
) -> Verdict:
    known = source is not EventSource.KAFKA
    if not failures:
        return Verdict(frozenset(), f"{_NAMED} is empty", known)
    failed: set[int] = set()
    names: set[Hashable] = set()
    for at, each in enumerate(failures):
        where = f"{_NAMED}[{at}]"
        if not isinstance(each, dict) or "itemIdentifier" not in each:
            return failed_batch(size, f"{where} has no itemIdentifier", documented=known)
        identifier: Any = cast("dict[str, Any]", each)["itemIdentifier"]
        if identifier is None or identifier == "":
            return failed_batch(
                size, f"{where}: itemIdentifier is {json.dumps(identifier)}", documented=known
            )
        name = _hashable(identifier)
        if name not in places:
            return failed_batch(size, f"{where}: itemIdentifier is not of this batch", documented=known)
        names.add(name)
        failed |= places[name]
    twice = len(names) < len(failures)
    return Verdict(frozenset(failed), f"the reply names {len(names)} of {size}", documented=not twice)


def _kind(value: object) -> str:
    names = {"list": "a list", "str": "a text", "bool": "true or false", "dict": "an object"}
    return names.get(type(value).__name__, "a number")
