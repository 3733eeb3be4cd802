"""SQS with the context manager, for whoever wants to do something around the records."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.SQS)
logger = Logger()


def record_handler(record: SQSRecord) -> str:
    """Handle one message."""
    order = record.json_body
    if order["amount"] > 197:
        raise ValueError("the amount is above the credit limit")
    return str(order["order"])


@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Process the records inside the block; the response is complete when it is left."""
    with processor(records=event["Records"], handler=record_handler, lambda_context=context):
        processed = processor.process()
    logger.info("processed", extra={"number": len(processed)})
    return processor.response()
