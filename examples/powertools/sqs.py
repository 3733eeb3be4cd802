"""Getting started with SQS: what fails is reported, what succeeds is deleted.

Written for Powertools for AWS Lambda; the import of the batch utility is all that changed.
"""

from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.SQS)
tracer = Tracer()
logger = Logger()


@tracer.capture_method
def record_handler(record: SQSRecord) -> None:
    """Handle one message: its body is `record.body`, decoded from JSON `record.json_body`."""
    order = record.json_body
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
