"""What happens in a run, as frozen events, for traces, metrics, progress displays and tests.

A hook is a plain function of one event. It is called in the thread of the event loop, between the steps of
records, and should return quickly: a record timeout, and the deadline, count its time too.

**Order.** `BatchStarted` comes first and `BatchEnded` last. Between them each record whose handler is called
has one `RecordStarted` and one `RecordEnded`, whether it succeeds, fails, takes too long or is cancelled at
the deadline. A record that does not end although it was cancelled is told of by `RecordEnded` too, just
before `BatchEnded`, with ``ended`` None. Records whose handler is not called have neither event: those that
are held back or come too late (`Skipped`), those that a key function refused, and without eager tasks (Python
3.11) those that were cancelled before their first step. The report of `BatchEnded` has them all. Nothing is
told after `BatchEnded`: of records that were in flight when ``guard_blocking`` left their thread behind, no
end is told.

**Context variables.** `RecordStarted` and `RecordEnded` of a record are told in the context in which its
handler runs: the handler sees what a hook sets at the start, the hook sees at the end what the handler has
set, and a token that `ContextVar.set` gave at the start can be given to `ContextVar.reset` at the end. So a
span of OpenTelemetry is started and attached at `RecordStarted`, detached and ended at `RecordEnded`. A
function that works in threads runs in a copy of that context. The other events belong to no record: their
context is not defined.

**Errors.** At `RecordEnded` the error of a `Failed` record has its traceback, for whoever sends it elsewhere.
When all hooks have returned the traceback is taken off, so that errors that somebody keeps pin no frames.

**Hooks decide nothing.** Whatever a hook raises changes no outcome and no reply. Of each hook the first
exception in a run is logged with its trace; how many there were after that is logged in one line at the end
of the run. Only a `KeyboardInterrupt` outside Lambda ends the run, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from asyncbatch._outcomes import Outcome
from asyncbatch._records import ItemIdentifier, Record
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
    """A record's handler is about to be called.

    Attributes:
        position: The record's position in the batch, from 0.
        id: Its item identifier.
        record: The record, as its handler gets it.
    """

    position: int
    id: ItemIdentifier
    record: Record[Any]


@final
@dataclass(frozen=True, slots=True)
class RecordEnded:
    """A record's handler has ended, or is left behind.

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
