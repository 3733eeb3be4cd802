"""Tracer without responses: large batches would exceed X-Ray's 64 KB a trace."""

from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.SQS)
tracer = Tracer()


@tracer.capture_method(capture_response=False)
def record_handler(record: SQSRecord) -> str:
    """Handle one message; what it returns is in no trace."""
    if record.json_body["amount"] > 197:
        raise ValueError("the amount is above the credit limit")
    return record.body


@tracer.capture_lambda_handler(capture_response=False)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
