"""A drop-in for ``aws_lambda_powertools.utilities.batch``: change the import, keep the code.

The names, signatures, messages and shapes are those of Powertools for AWS Lambda (Python); asyncbatch runs it.
Where Powertools would lose a record, or report one as processed that was not, this does the safe thing instead:
``examples/powertools/README.md`` lists every difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch.powertools.base import (
    AsyncBatchProcessor,
    BasePartialBatchProcessor,
    BasePartialProcessor,
    BatchProcessor,
    EventType,
    FailureResponse,
    SuccessResponse,
)
from asyncbatch.powertools.decorators import (
    async_batch_processor,
    async_process_partial_response,
    batch_processor,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import ExceptionInfo
from asyncbatch.powertools.sqs_fifo_partial_processor import SqsFifoPartialProcessor
from asyncbatch.powertools.types import BatchTypeModels

if TYPE_CHECKING:
    from asyncbatch.powertools.sqs import PartialSQSProcessor, sqs_batch_processor

__all__ = [
    # Process an event
    "async_process_partial_response",
    "process_partial_response",
    # Processors
    "AsyncBatchProcessor",
    "BasePartialBatchProcessor",
    "BasePartialProcessor",
    "BatchProcessor",
    "EventType",
    "SqsFifoPartialProcessor",
    # Types
    "BatchTypeModels",
    "ExceptionInfo",
    "FailureResponse",
    "SuccessResponse",
    # Deprecated
    "PartialSQSProcessor",
    "async_batch_processor",
    "batch_processor",
    "sqs_batch_processor",
]


def __getattr__(name: str) -> object:
    """Load the historic generation when it is asked for."""
    if name not in {"PartialSQSProcessor", "sqs_batch_processor"}:
        message = f"module 'asyncbatch.powertools' has no attribute {name!r}"
        raise AttributeError(message)
    from asyncbatch.powertools import sqs  # noqa: PLC0415 - that is the point

    return getattr(sqs, name)
