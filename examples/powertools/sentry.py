"""Sentry: every failed record is captured, with its traceback."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from sentry_sdk import capture_exception

from asyncbatch.powertools import (
    BatchProcessor,
    EventType,
    ExceptionInfo,
    FailureResponse,
    process_partial_response,
)
from asyncbatch.powertools.types import PartialItemFailureResponse


class CapturingProcessor(BatchProcessor):
    """Tells Sentry of failures."""

    def failure_handler(self, record: SQSRecord, exception: ExceptionInfo) -> FailureResponse:
        """Capture the exception, then go on as usual."""
        capture_exception(exception[1])
        return super().failure_handler(record, exception)


processor = CapturingProcessor(event_type=EventType.SQS)


def record_handler(record: SQSRecord) -> None:
    """Handle one message."""
    if record.json_body["amount"] > 197:
        raise ValueError("the amount is above the credit limit")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
