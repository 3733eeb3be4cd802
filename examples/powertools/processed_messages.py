"""What became of each record: the entries that the context manager gives."""

from typing import Any, Literal

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
    """Log an entry per record: status, result or cause, and the record."""
    with processor(records=event["Records"], handler=record_handler, lambda_context=context):
        entries: list[tuple[Any, ...]] = processor.process()
    for entry in entries:
        status: Literal["success", "fail"] = entry[0]
        cause: str = entry[1]  # what the handler returned, or the exception's text
        record: Any = entry[2]  # a raw dict after a success, a data class or model after a failure
        logger.info(status, extra={"cause": cause, "message_id": record["messageId"]})
    return processor.response()
