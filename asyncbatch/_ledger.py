"""The ledger, in which success is earned.

Every record starts as not succeeded. What a run did not mark did not succeed: an error in our own code can cost a
redelivery, never a record.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, final

from asyncbatch._failure_texts import TRACED_FAILURES, describe, drop_tracebacks, trace_of
from asyncbatch._raised import is_ctrl_c, type_name


class FailureReason(Enum):
    """Why a record that was started did not succeed."""

    RAISED = "raised"
    """The handler raised."""
    CANCELLED = "cancelled"
    """The handler, or something it awaited, was cancelled, and not by the engine."""
    TIMED_OUT = "timed-out"
    """It took longer than ``record_timeout``."""
    DEADLINE = "deadline"
    """It was unfinished at the deadline."""
    STOPPED = "stopped"
    """It was unfinished when the run was stopped: interrupted, cancelled, or its event loop was."""
    REFUSED = "refused"
    """The handler returned an awaitable or a generator: a forgotten ``await``."""
    INVALID_PAYLOAD = "invalid-payload"
    """The payload does not fit the ``model``."""


class SkipReason(Enum):
    """Why a record was not started."""

    LANE_HALTED = "lane-halted"
    """An earlier record of its lane did not succeed."""
    BATCH_HALTED = "batch-halted"
    """An earlier record of the batch did not succeed."""
    DEADLINE = "deadline"
    """The time for starting records was used up."""
    STOPPED = "stopped"
    """The run was stopped: interrupted, cancelled, or its event loop was."""


@final
class Failure:
    """What the ledger keeps of a failed record."""

    __slots__ = ("error", "message", "reason", "trace")

    def __init__(
        self, reason: FailureReason, error: BaseException | None, message: str, trace: str = ""
    ) -> None:
        self.reason = reason
        self.error = error
        self.message = message
        self.trace = trace


@final
class Ledger:
    """Who succeeded, in the batch's positions.

    The whole mutable state of a run's outcomes:

    - ``succeeded``: 1 where success was earned; everything else did not succeed. One line of the package writes
      it, where a handler has returned (`Run`);
    - ``started``, ``ended``: clock readings, or None;
    - ``failures``: what went wrong, by position; it outweighs a success;
    - ``skips``: why a record was held back, by position;
    - ``interrupt``: a Ctrl-C outside Lambda that a record's failure came with; it ends the run, which raises it;
    - ``keeps_tracebacks``: whether failures keep theirs for now, because hooks will be shown them;
    - ``result``: the copy that `seal` takes. Whatever is written later, by a handler that does not end, counts
      for nothing.
    """

    __slots__ = (
        "ended",
        "failures",
        "interrupt",
        "keeps_tracebacks",
        "result",
        "skips",
        "started",
        "succeeded",
    )

    def __init__(self, size: int) -> None:
        self.succeeded: list[int] = [0] * size
        self.started: list[float | None] = [None] * size
        self.ended: list[float | None] = [None] * size
        self.failures: dict[int, Failure] = {}
        self.skips: dict[int, SkipReason] = {}
        self.interrupt: BaseException | None = None
        self.keeps_tracebacks: bool = False
        self.result: bytes | None = None

    def earned(self, position: int) -> bool:
        """Whether a record has succeeded."""
        return self.succeeded[position] == 1 and position not in self.failures

    def fail(
        self,
        position: int,
        reason: FailureReason,
        error: BaseException | None = None,
        message: str = "",
    ) -> None:
        """Note why a record failed; the first reason stands.

        Args:
            position: The record's position in the batch.
            reason: What kind of failure it was.
            error: What was raised; None where nothing was.
            message: What to say of it; by default the error's type and text, or the reason.
        """
        if error is not None and is_ctrl_c(error):
            self.interrupt = error
        if position in self.failures:
            return
        trace = ""
        if error is not None:
            message = message or self.describe(error)
            if len(self.failures) < TRACED_FAILURES and reason is FailureReason.RAISED:
                trace = trace_of(error)
        self.failures[position] = Failure(reason, error, message or reason.value, trace)
        if error is not None and not self.keeps_tracebacks:
            drop_tracebacks(error)

    def describe(self, error: BaseException, tell: Callable[[BaseException], str] = describe) -> str:
        """The text of an error; a Ctrl-C while it is made is noted.

        Args:
            error: What was raised.
            tell: Makes the text.
        """
        try:
            return tell(error)
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            return type_name(error)

    def raise_interrupt(self) -> None:
        """Raise the Ctrl-C that was noted, if there was one."""
        if self.interrupt is not None:
            raise self.interrupt

    def let_go_of_tracebacks(self) -> None:
        """Cut all errors loose from the frames that they pin, also those that are still to come."""
        self.keeps_tracebacks = False
        for failure in list(self.failures.values()):  # a thread that was left behind may still add one
            if failure.error is not None:
                drop_tracebacks(failure.error)

    def skip(self, position: int, reason: SkipReason) -> None:
        """Note why a record will not be started; the first reason stands."""
        self.skips.setdefault(position, reason)

    def seal(self, left: SkipReason) -> bytes:
        """Take the result: what is unfinished fails, what was not started is skipped for the reason given.

        Returns:
            1 for every record that succeeded. Sealing again changes nothing.
        """
        if self.result is None:
            result = bytes(self.succeeded)
            if 0 in result or self.failures:
                result = self._settle(left)
            self.result = result  # only now: a guard's thread and the one that left it behind may both seal
        return self.result

    def _settle(self, left: SkipReason) -> bytes:
        settled = bytearray(self.succeeded)
        for position in list(self.failures):  # a handler in a thread that was left behind may still fail
            settled[position] = 0
        for position, done in enumerate(settled):
            if done or position in self.failures or position in self.skips:
                continue
            if self.started[position] is None:
                self.skips[position] = left
            else:
                self.failures[position] = _STOPPED if left is SkipReason.STOPPED else _UNFINISHED
        return bytes(settled)


_UNFINISHED: Final = Failure(FailureReason.DEADLINE, None, "unfinished when the batch was sealed", "")
_STOPPED: Final = Failure(FailureReason.STOPPED, None, "unfinished when the run was stopped", "")
