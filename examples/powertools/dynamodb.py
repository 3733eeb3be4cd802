"""Getting started with DynamoDB Streams: images are plain Python values."""

from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.DynamoDBStreams)
tracer = Tracer()
logger = Logger()


@tracer.capture_method
def record_handler(record: DynamoDBRecord) -> None:
    """Handle one change of an item; numbers are `Decimal`."""
    if record.dynamodb is None or not record.dynamodb.new_image:
        return  # the item was removed
    order = record.dynamodb.new_image
    if order["amount"] > 197:
        raise ValueError("the amount is above the credit limit")
    logger.info("shipped", extra={"order": order["order"]})


@logger.inject_lambda_context
@tracer.capture_lambda_handler
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
