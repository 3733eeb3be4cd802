"""Batches of any size from one event: its records again and again, under identifiers that were never seen."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncbatch import BatchEngine, EventSource, FailureScope, InvalidEventError
from asyncbatch._events import Batch, read_event
from asyncbatch._lanes import build_lanes
from asyncbatch._ledger import Ledger
from asyncbatch._sources import SourceRules

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LaneShape:
    """How the records of a batch are spread over lanes.

    Attributes:
        records: How many records the batch has.
        lanes: How many lanes they are in.
        longest: How many are in the longest lane.
    """

    records: int
    lanes: int
    longest: int

    @property
    def bound(self) -> float:
        """The most records in flight, on average, that the longest lane lets the batch have.

        The records of a lane follow one another, so no batch ends before its longest lane does: Graham's bound on
        the makespan (SIAM J. Appl. Math. 17, 1969), for records that take equally long.
        """
        return self.records / self.longest

    @property
    def skew(self) -> float:
        """The longest lane over the mean lane; 1 where all are equally long."""
        return self.longest * self.lanes / self.records


class Batches:
    """Makes batches out of the records of an event.

    Keys stay as they are, so that lanes grow with the batch. Identifiers are new in every batch: a handler that
    remembers what it has done would have nothing to do.

    Args:
        event: The event.
        engine: The engine that will process the batches; it may name the event source.
        seed: What the identifiers are drawn from; None for others in every program.

    Raises:
        InvalidEventError: the event cannot be processed, or has no records.
    """

    def __init__(self, event: object, engine: BatchEngine, *, seed: int | None = None) -> None:
        batch = read_event(event, engine.source)
        if batch.rules is None or not batch.raws:
            problem = "has no records to repeat"
            raise InvalidEventError(problem, hint="Give an event with at least one record.")
        self._engine: Final = engine
        self._rules: Final[SourceRules] = batch.rules
        self._raws: Final[Sequence[Raw]] = batch.raws
        self._frame: Final[Mapping[str, Any]] = event if isinstance(event, Mapping) else {}
        self._rng: Final = random.Random(seed)  # noqa: S311 - made-up identifiers are no secrets
        self._made = 0

    @property
    def source(self) -> EventSource:
        """The event source."""
        return self._rules.source

    @property
    def halts(self) -> bool:
        """Whether a failure holds back other records."""
        ordering = self._engine.ordering or self._rules.ordering
        scope = self._engine.failure_scope or self._rules.default_scope(ordering)
        return scope is not FailureScope.RECORD

    def make(self, size: int) -> dict[str, Any]:
        """An event of `size` records, of which none was in an event before."""
        renew = _RENEW[self.source]
        known = len(self._raws)
        records: list[dict[str, Any]] = []
        for number in range(self._made, self._made + size):
            identifier = uuid.UUID(int=self._rng.getrandbits(128), version=4)
            # Each batch goes on where the one before ended, so that all limits meet all records.
            records.append(renew(self._raws[number % known], number, str(identifier)))
        self._made += size
        if self.source is not EventSource.KAFKA:
            return {"Records": records}
        partitions: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            partitions.setdefault(f"{record['topic']}-{record['partition']}", []).append(record)
        return {**self._frame, "records": partitions}

    def lanes(self, event: Mapping[str, Any]) -> LaneShape:
        """How the records of an event that was made here are spread over lanes."""
        keys = self.lane_keys(read_event(event, self._engine.source))
        sizes = Counter(keys)
        return LaneShape(len(keys), len(sizes), max(sizes.values()))

    def lane_keys(self, batch: Batch) -> Sequence[object]:
        """The lane of every record of a batch."""
        ordering = self._engine.ordering or self._rules.ordering
        scope = self._engine.failure_scope or self._rules.default_scope(ordering)
        _, keys = build_lanes(batch, self._rules, Ledger(len(batch.raws)), ordering, scope)
        return batch.names if keys is None else keys


def _renew_message(raw: Raw, number: int, identifier: str) -> dict[str, Any]:
    record = {**raw, "messageId": identifier}
    if "receiptHandle" in raw:
        record["receiptHandle"] = identifier
    if "SequenceNumber" in (raw.get("attributes") or {}):
        record["attributes"] = {**raw["attributes"], "SequenceNumber": _sequence_number(20, number)}
    return record


def _renew_kinesis(raw: Raw, number: int, identifier: str) -> dict[str, Any]:
    sequence_number = _sequence_number(56, number)
    record = {**raw, "kinesis": {**raw["kinesis"], "sequenceNumber": sequence_number}}
    if "eventID" in raw:
        record["eventID"] = f"{str(raw['eventID']).partition(':')[0]}:{sequence_number}"
    del identifier
    return record


def _renew_change(raw: Raw, number: int, identifier: str) -> dict[str, Any]:
    changed = {**raw["dynamodb"], "SequenceNumber": _sequence_number(28, number)}
    return {**raw, "eventID": identifier, "dynamodb": changed}


def _renew_kafka(raw: Raw, number: int, identifier: str) -> dict[str, Any]:
    del identifier
    return {**raw, "offset": number}


def _sequence_number(digits: int, number: int) -> str:
    """A number that ascends, as long as AWS's are."""
    return str(4 * 10 ** (digits - 1) + number)


_RENEW: Final[Mapping[EventSource, Callable[[Raw, int, str], dict[str, Any]]]] = {
    EventSource.SQS: _renew_message,
    EventSource.SQS_FIFO: _renew_message,
    EventSource.KINESIS: _renew_kinesis,
    EventSource.DYNAMODB: _renew_change,
    EventSource.KAFKA: _renew_kafka,
}
