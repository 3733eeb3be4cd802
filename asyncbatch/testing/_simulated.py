"""What there is to see of a simulation: its records, and the invocations of its function."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, final

from asyncbatch.testing._events import Event
from asyncbatch.testing._verdicts import Verdict

_SHOWN: Final = 10  # records in a line of the journal
_WIDTH: Final = 40  # characters of a record's label there


class RecordState(StrEnum):
    """Where a record of the simulation is."""

    WAITING = "waiting"
    """In its event source, or in an invocation."""
    DONE = "done"
    """Taken as processed: deleted from its queue, or behind the checkpoint."""
    DEAD_LETTER = "dead letter"
    """Received too often, and moved to the dead-letter queue."""
    DISCARDED = "discarded"
    """Retried too often, or too old: on the failure destination if there is one."""
    EXPIRED = "expired"
    """Longer in its event source than that keeps records: gone."""


@final
@dataclass(slots=True, eq=False)
class SimulatedRecord:
    """A record, from the moment at which it was sent.

    Attributes:
        label: Its payload as text; tests call it by that.
        lane: What its event source keeps in order; None where nothing does.
        raw: The record as it stands in an event.
        sent: When it was sent, in seconds of the simulation.
        state: Where it is.
        deliveries: How often the function got it.
        left_at: When it got there, in seconds of the simulation; None while it waits.
        lost: Whether it counts as done although a reply named it as failed, which was not read.
    """

    label: str
    lane: Hashable
    raw: dict[str, Any] = field(repr=False)
    sent: float
    state: RecordState = RecordState.WAITING
    deliveries: int = 0
    left_at: float | None = None
    lost: bool = False

    def leave(self, state: RecordState, now: float) -> None:
        """Go where it does not wait any more.

        Args:
            state: Where it is from now on.
            now: The time.
        """
        self.state = state
        self.left_at = now


@final
@dataclass(frozen=True, slots=True)
class SimulatedInvocation:
    """One call of the function.

    Attributes:
        number: Its number, from 1.
        environment: The number of its environment, from 1.
        began: When, in seconds of the simulation.
        ended: When.
        records: What it got.
        event: The event.
        reply: The reply as JSON text; None where there was none.
        error: What the function raised, or what kept its reply from being JSON.
        verdict: What became of the batch.
    """

    number: int
    environment: int
    began: float
    ended: float
    records: tuple[SimulatedRecord, ...] = field(repr=False)
    event: Event = field(repr=False)
    reply: str | None
    error: BaseException | None
    verdict: Verdict


def listed(records: Sequence[SimulatedRecord]) -> str:
    """Records for a line of the journal."""
    names = ", ".join(shorten(record.label) for record in records[:_SHOWN])
    more = f" and {len(records) - _SHOWN} more" if len(records) > _SHOWN else ""
    return f"{names}{more}" if records else "no records"


def shorten(label: str) -> str:
    """A label for a line of the journal."""
    return label if len(label) <= _WIDTH else f"{label[: _WIDTH - 1]}…"
