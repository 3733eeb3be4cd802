"""SQS FIFO with the context manager."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import SqsFifoPartialProcessor
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = SqsFifoPartialProcessor()


def record_handler(record: SQSRecord) -> None:
    """Handle one message."""
    if record.json_body["amount"] > 197:
        raise ValueError("the amount is above the credit limit")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    with processor(event["Records"], record_handler, context):
        processor.process()
    return processor.response()
