"""The calls of hooks: what a run tells becomes events, and what a hook raises decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from asyncbatch._contained import Contained
from asyncbatch._events import Batch
from asyncbatch._failure_texts import drop_tracebacks
from asyncbatch._ledger import Ledger
from asyncbatch._outcomes import outcome_of
from asyncbatch._raised import type_name
from asyncbatch._records import Record
from asyncbatch._report import BatchReport
from asyncbatch._scheduler import Observer
from asyncbatch.hooks import (
    BatchEnded,
    BatchStarted,
    Hook,
    HookEvent,
    LimitChanged,
    RecordEnded,
    RecordStarted,
)


@final
class HookCalls(Observer):
    """Tells the hooks of one run what happens in it.

    Args:
        hooks: The hooks, each called with every event.
        batch: The records.
        ledger: What is known of them. It keeps the tracebacks of errors until hooks have seen them.
        contained: Takes what hooks raise.
    """

    def __init__(self, hooks: Sequence[Hook], batch: Batch, ledger: Ledger, contained: Contained) -> None:
        self._hooks = hooks
        self._batch = batch
        self._ledger = ledger
        self._contained = contained
        self._last: BatchEnded | None = None
        ledger.keeps_tracebacks = True

    def batch_started(self, limit: int) -> None:
        """Tell that the batch was read, with the limit of records in flight."""
        rules = self._batch.rules
        self._tell(BatchStarted(None if rules is None else rules.source, len(self._batch.raws), limit))

    def started(self, position: int, record: Record[Any]) -> None:
        """Tell that a record's handler is about to start."""
        self._tell(RecordStarted(position, self._batch.identifier(position), record))

    def ended(self, position: int) -> None:
        """Tell that a record's handler has ended, and cut its error loose from the frames that it pins."""
        ledger = self._ledger
        outcome = outcome_of(self._batch, ledger, position, succeeded=ledger.earned(position))
        try:
            self._tell(RecordEnded(outcome))
        finally:
            failure = ledger.failures.get(position)
            if failure is not None and failure.error is not None:
                drop_tracebacks(failure.error)

    def limit_changed(self, old: int, new: int) -> None:
        """Tell that the limit of records in flight has moved."""
        self._tell(LimitChanged(old, new))

    def batch_ended(self, report: BatchReport) -> None:
        """Tell that the run is over; what a thread that was left behind does later is told to nobody."""
        self._ledger.let_go_of_tracebacks()
        ended = BatchEnded(report)
        self._last = ended
        self._tell(ended)

    def _tell(self, event: HookEvent) -> None:
        """Call every hook.

        Raises:
            KeyboardInterrupt: one raised it, outside Lambda; the others have been called.
        """
        interrupt: BaseException | None = None
        for index, hook in enumerate(self._hooks):
            if self._last is not None and event is not self._last:
                break
            try:
                hook(event)
            except BaseException as error:  # noqa: BLE001 - a hook's trouble is its own
                if not self._contained.takes(_name(index, hook), f" on {type(event).__name__}", error):
                    interrupt = error
        if interrupt is not None:
            raise interrupt


def _name(index: int, hook: Hook) -> str:
    try:
        name: object = hook.__qualname__
    except BaseException:  # noqa: BLE001 - most objects have none, and an object of the user's may raise anything
        name = type_name(hook)
    return f"hooks[{index}] ({name})"
