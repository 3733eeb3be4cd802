"""Outcomes: what became of a record, as a value.

They are made of the ledger when somebody asks for them; a reply needs none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from asyncbatch._events import Batch
from asyncbatch._ledger import FailureReason, Ledger, SkipReason
from asyncbatch._records import ItemIdentifier, Record


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The handler returned, in time and with no cancellation pending.

    Attributes:
        position: The record's position in the batch, from 0.
        id: Its item identifier.
        record: A fresh view on it.
        started: When its handler was started, in seconds of the event loop's clock.
        ended: When its handler returned, on the same clock.
    """

    position: int
    id: ItemIdentifier
    record: Record[Any]
    started: float
    ended: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The record did not succeed.

    Attributes:
        position: The record's position in the batch, from 0.
        id: Its item identifier.
        record: A fresh view on it.
        started: When its handler was started, in seconds of the event loop's clock; None where it never was,
            because a key function refused the record.
        ended: When its handler ended; None where it had not when the run returned.
        reason: What kind of failure it was.
        error: What was raised, without its traceback (hooks see it with it); None where nothing was.
        message: Type and text of the error, at most 1 KiB.
        trace: The calls from the handler to the error, at most 1 KiB; kept for the first ten failures of a run.
    """

    position: int
    id: ItemIdentifier
    record: Record[Any]
    started: float | None
    ended: float | None
    reason: FailureReason
    error: BaseException | None = field(repr=False)  # its text may quote the payload
    message: str
    trace: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """The record was not started.

    Attributes:
        position: The record's position in the batch, from 0.
        id: Its item identifier.
        record: A fresh view on it.
        reason: What held it back.
    """

    position: int
    id: ItemIdentifier
    record: Record[Any]
    reason: SkipReason


Outcome = Succeeded | Failed | Skipped


def outcome_of(batch: Batch, ledger: Ledger, position: int, *, succeeded: bool) -> Outcome:
    """One record's outcome as a value.

    Args:
        batch: The records.
        ledger: What is known of them.
        position: The record's position in the batch.
        succeeded: Whether it earned success.
    """
    assert batch.rules is not None, "a batch with records has a source"  # noqa: S101 - narrows a type
    identifier, record = batch.identifier(position), batch.rules.record_type(batch.raws[position])
    started, ended = ledger.started[position], ledger.ended[position]
    if succeeded and started is not None and ended is not None:
        return Succeeded(position=position, id=identifier, record=record, started=started, ended=ended)
    skip = ledger.skips.get(position)
    if skip is not None:
        return Skipped(position=position, id=identifier, record=record, reason=skip)
    failure = ledger.failures[position]
    return Failed(
        position=position,
        id=identifier,
        record=record,
        started=started,
        ended=ended,
        reason=failure.reason,
        error=failure.error,
        message=failure.message,
        trace=failure.trace,
    )
