"""asyncio-first batch record processing: bounded concurrency, ordering lanes, replies that lose nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch._engine import BatchEngine, BatchHandler, batch_handler
from asyncbatch._errors import (
    AsyncBatchError,
    BlockedThreadsError,
    FailedBatchError,
    InvalidEventError,
    InvalidHandlerError,
    InvalidOptionError,
    RunningLoopError,
    SequenceOrderError,
)
from asyncbatch._guard import shutdown
from asyncbatch._ledger import FailureReason, SkipReason
from asyncbatch._records import DynamoDBRecord, KafkaRecord, KinesisRecord, Record, SqsRecord
from asyncbatch._report import BatchReport
from asyncbatch._sources import EventSource, FailureScope, Ordering
from asyncbatch._threads import threaded

if TYPE_CHECKING:
    from asyncbatch._outcomes import Failed, Outcome, Skipped, Succeeded

__all__ = [
    # Process a batch
    "BatchEngine",
    "BatchHandler",
    "EventSource",
    "FailureScope",
    "Ordering",
    "batch_handler",
    "shutdown",
    "threaded",
    # Records
    "DynamoDBRecord",
    "KafkaRecord",
    "KinesisRecord",
    "Record",
    "SqsRecord",
    # What became of them
    "BatchReport",
    "Failed",
    "FailureReason",
    "Outcome",
    "SkipReason",
    "Skipped",
    "Succeeded",
    # Errors
    "AsyncBatchError",
    "BlockedThreadsError",
    "FailedBatchError",
    "InvalidEventError",
    "InvalidHandlerError",
    "InvalidOptionError",
    "RunningLoopError",
    "SequenceOrderError",
]


def __getattr__(name: str) -> object:
    """Load what a cold start need not pay for when it is asked for."""
    if name not in {"Failed", "Outcome", "Skipped", "Succeeded"}:
        message = f"module 'asyncbatch' has no attribute {name!r}"
        raise AttributeError(message)
    from asyncbatch import _outcomes  # noqa: PLC0415 - that is the point

    return getattr(_outcomes, name)
