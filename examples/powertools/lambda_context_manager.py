"""Lambda's context and the context manager: it is passed by name."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.SQS)


def record_handler(record: SQSRecord, lambda_context: LambdaContext) -> str:
    """Handle one message."""
    if record.json_body["amount"] > 197:
        raise ValueError("the amount is above the credit limit")
    return lambda_context.aws_request_id


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    with processor(records=event["Records"], handler=record_handler, lambda_context=context):
        processor.process()
    return processor.response()
