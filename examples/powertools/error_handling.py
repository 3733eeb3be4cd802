"""Errors: any exception of the record handler makes its record a failed one, and the others go on."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

logger = Logger()
# With a logger, every failure is logged as a warning, with its traceback.
processor = BatchProcessor(event_type=EventType.SQS, logger=logger)


class CreditLimitError(Exception):
    """The amount of an order is above its customer's credit limit."""


def record_handler(record: SQSRecord) -> None:
    """Handle one message."""
    order = record.json_body
    if order["amount"] > 197:
        raise CreditLimitError(order["customer"])


@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
