"""What happens in a run, as frozen events, for progress displays, metrics and tests.

A hook is a plain function of one event. It is called in the thread of the event loop, between the steps of
records, and should return quickly. What it raises is logged and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from asyncbatch._outcomes import Outcome
from asyncbatch._records import ItemIdentifier
from asyncbatch._report import BatchReport
from asyncbatch._sources import EventSource


@final
@dataclass(frozen=True, slots=True)
class BatchStarted:
    """A batch was read and checked; its first record starts next.

    Attributes:
        source: The event source; None for an empty batch whose source nothing tells.
        size: How many records the batch has.
        limit: Most records in flight; a limit that moves begins there.
    """

    source: EventSource | None
    size: int
    limit: int


@final
@dataclass(frozen=True, slots=True)
class RecordStarted:
    """A record's handler is started.

    Attributes:
        position: The record's position in the batch, from 0.
        id: Its item identifier.
    """

    position: int
    id: ItemIdentifier


@final
@dataclass(frozen=True, slots=True)
class RecordEnded:
    """A record's handler ended.

    Attributes:
        outcome: How.
    """

    outcome: Outcome


@final
@dataclass(frozen=True, slots=True)
class LimitChanged:
    """A limit that moves has moved, and the batch follows.

    Attributes:
        old: Most records in flight before.
        new: Most records in flight from now on.
    """

    old: int
    new: int


@final
@dataclass(frozen=True, slots=True)
class BatchEnded:
    """The run is over; the report is what the reply is made from.

    Attributes:
        report: The report.
    """

    report: BatchReport


__all__ = ["BatchEnded", "BatchStarted", "Hook", "HookEvent", "LimitChanged", "RecordEnded", "RecordStarted"]

HookEvent = BatchStarted | RecordStarted | RecordEnded | LimitChanged | BatchEnded
Hook = Callable[[HookEvent], None]
