"""Every error that asyncbatch raises: one sentence per class, the message built in the class."""

from __future__ import annotations


def shown(value: object) -> str:
    """A wrong value, short enough for a message; Python refuses to write very long numbers."""
    try:
        return f"{value!r:.50}"
    except ValueError:
        return "a very long number"


class AsyncBatchError(Exception):
    """Base class of every error that asyncbatch raises."""


class InvalidEventError(AsyncBatchError, ValueError):
    """Raised when an event cannot be reported on, before any record of it was processed.

    Lambda sees a failed invocation and delivers the whole batch again: nothing is lost.

    Args:
        problem: What is wrong.
        where: The place in the event, as a path (``Records[3].messageId``); empty for the whole event.
        hint: What to do about it, where that is known.
    """

    def __init__(self, problem: str, where: str = "", hint: str = "") -> None:
        super().__init__(problem, where, hint)
        self.problem = problem
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """Name the place, the problem and the mend in one sentence or two."""
        message = f"{self.where or 'event'}: {self.problem}. Nothing was processed."
        return f"{message} {self.hint}" if self.hint else message


class InvalidOptionError(AsyncBatchError, ValueError):
    """Raised when an option, or two options together, would break a rule; the message says which.

    Args:
        option: The option's name.
        problem: Why the value is refused.
        hint: What to use instead.
    """

    def __init__(self, option: str, problem: str, hint: str = "") -> None:
        super().__init__(option, problem, hint)
        self.option = option
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        """Name the option, the reason and the mend."""
        message = f"{self.option}: {self.problem}."
        return f"{message} {self.hint}" if self.hint else message


class InvalidHandlerError(AsyncBatchError, TypeError):
    """Raised when a function cannot be a record handler, at registration.

    Args:
        name: The function's name.
        problem: Why it is refused.
        hint: How to make it acceptable.
    """

    def __init__(self, name: str, problem: str, hint: str) -> None:
        super().__init__(name, problem, hint)
        self.name = name
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        """Name the function, the reason and the mend."""
        return f"{self.name} cannot be a record handler: {self.problem}. {self.hint}"


class RunningLoopError(AsyncBatchError, RuntimeError):
    """Raised when a synchronous entry is called while an event loop runs in the same thread.

    Args:
        entry: The entry that was called.
        instead: The call that works inside a running loop.
    """

    def __init__(self, entry: str, instead: str = "await engine.process(event, handler, context)") -> None:
        super().__init__(entry, instead)
        self.entry = entry
        self.instead = instead

    def __str__(self) -> str:
        """Name both calls."""
        return (
            f"{self.entry} was called inside a running event loop, which it would block. "
            f"Nothing was processed. Use `{self.instead}` there."
        )


class BlockedThreadsError(AsyncBatchError, RuntimeError):
    """Raised before a batch is processed, where too many threads of this process never came back.

    A thread cannot be stopped: ``guard_blocking`` leaves one behind when a handler holds it beyond the deadline.
    It ends when the handler returns.

    Args:
        threads: How many were left behind.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.threads = threads

    def __str__(self) -> str:
        """Say what happened, what it means and what to do."""
        return (
            f"{self.threads} threads of this process are still held by handlers that did not return in time. "
            "Nothing was processed, because it could cost a further thread. "
            "Give each blocking call in the handler a timeout of its own."
        )


class FailedBatchError(AsyncBatchError):
    """Raised by `BatchReport.response` where ``raise_on_failure`` asks for it: Lambda retries the whole batch.

    Args:
        unsuccessful: How many records did not succeed.
        total: How many records the batch had.
        summary: A bounded text about the failures.
    """

    def __init__(self, unsuccessful: int, total: int, summary: str = "") -> None:
        super().__init__(unsuccessful, total, summary)
        self.unsuccessful = unsuccessful
        self.total = total
        self.summary = summary

    def __str__(self) -> str:
        """Say how many records did not succeed, then the bounded summary."""
        message = f"{self.unsuccessful} of {self.total} records did not succeed."
        return f"{message}\n{self.summary}" if self.summary else message


class SequenceOrderError(AsyncBatchError):
    """Raised by `BatchReport.response` when a stream batch is out of order and a record did not succeed.

    The lowest identifier in a reply is a stream's checkpoint. With sequence numbers that do not ascend no
    identifier is a safe one, so the whole batch is retried.

    Args:
        position: The first record whose sequence number is below its predecessor's.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position

    def __str__(self) -> str:
        """Name the place and the consequence."""
        return (
            f"record {self.position} has a lower sequence number than the record before it, and not every record "
            "succeeded: no checkpoint is safe, so the whole batch must be delivered again."
        )
