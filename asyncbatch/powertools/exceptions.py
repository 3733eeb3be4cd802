"""The exceptions of the facade, with the texts that users' code and tests know."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Final

from asyncbatch._failure_texts import describe_pair, encodable
from asyncbatch._raised import is_ctrl_c

ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
"""What `sys.exc_info` gives."""

# Lambda's runtime posts and logs the whole text of an error. A batch of 10,000 records that all fail would make
# it 6.5 MB, and take seconds to format.
_FORMATTED: Final = 100
TEXT_LIMIT: Final = 16_384


class BaseBatchProcessingError(Exception):
    """Base class of the errors that speak of several records.

    Args:
        msg: What happened.
        child_exceptions: What happened to each record, as `sys.exc_info` gives it.
    """

    def __init__(self, msg: str = "", child_exceptions: list[ExceptionInfo] | None = None) -> None:
        super().__init__(msg)
        self.msg = msg
        self.child_exceptions: list[ExceptionInfo] = child_exceptions or []

    def format_exceptions(self, parent_exception_str: str) -> str:
        """A text followed by the tracebacks of the records, a hundred at most."""
        told = self.child_exceptions[:_FORMATTED]
        parts = [f"{parent_exception_str}\n", *map(_formatted, told)]
        if len(told) < len(self.child_exceptions):
            parts.append(f"... and {len(self.child_exceptions) - len(told)} more\n")
        return "\n".join(parts)


def _formatted(exception: ExceptionInfo) -> str:
    try:
        return encodable("".join(traceback.format_exception(*exception))[-TEXT_LIMIT:])
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        return f"{describe_pair(exception[0], exception[1], TEXT_LIMIT)} (its traceback cannot be shown)\n"


class BatchProcessingError(BaseBatchProcessingError):
    """Raised when every record of a batch failed; its text ends with the records' tracebacks."""

    def __str__(self) -> str:
        """The message, then the tracebacks."""
        return self.format_exceptions(super().__str__())


class UnexpectedBatchTypeError(BatchProcessingError):
    """Raised when an event holds no batch of the processor's event type, before anything was processed."""


class UnreportableRecordError(BatchProcessingError):
    """Raised when a record that did not succeed has no identifier: the whole batch is delivered again.

    Args:
        position: The record's position in the batch, from 0.
        problem: What is wrong with it.
    """

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(
            f"Record {position} of the batch failed and cannot be reported: {problem}. "
            "The whole batch has to be delivered again."
        )
        self.position = position
        self.problem = problem

    def __reduce__(self) -> tuple[type[UnreportableRecordError], tuple[int, str]]:
        return type(self), (self.position, self.problem)


class SQSBatchProcessingError(BaseBatchProcessingError):
    """Raised by `PartialSQSProcessor` after it has deleted what succeeded, so that Lambda keeps the rest.

    Its text ends with the records' tracebacks.
    """

    def __str__(self) -> str:
        """The message, then the tracebacks."""
        return self.format_exceptions(super().__str__())


class SQSFifoCircuitBreakerError(Exception):
    """Stands for a record that was not processed because an earlier one of a FIFO queue failed."""


class SQSFifoMessageGroupCircuitBreakerError(Exception):
    """Stands for a record that was not processed because an earlier one of its message group failed."""


class RecordNotProcessedError(Exception):
    """Stands for a record that was not processed to its end: the deadline, a cancellation, a halted shard."""


class MiddlewareInvalidArgumentError(Exception):
    """Raised when a decorator for a Lambda handler gets anything but keywords."""
