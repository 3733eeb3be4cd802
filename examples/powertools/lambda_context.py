"""Lambda's context in the record handler: a parameter named `lambda_context` gets it.

It also tells the deadline: records that cannot be finished before it are reported as failed, so that
finished work stays finished.
"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.SQS)
logger = Logger()


def record_handler(record: SQSRecord, lambda_context: LambdaContext | None = None) -> None:
    """Handle one message."""
    if lambda_context is not None:
        logger.info("time left", extra={"ms": lambda_context.get_remaining_time_in_millis()})
    if record.json_body["amount"] > 197:
        raise ValueError("the amount is above the credit limit")


@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
