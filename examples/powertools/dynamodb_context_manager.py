"""DynamoDB Streams with the context manager."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.DynamoDBStreams)


def record_handler(record: DynamoDBRecord) -> None:
    """Handle one change of an item."""
    image = record.dynamodb.new_image if record.dynamodb else {}
    if image and image["amount"] > 197:
        raise ValueError("the amount is above the credit limit")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    with processor(event["Records"], record_handler, context):
        processor.process()
    return processor.response()
