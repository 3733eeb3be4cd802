"""The models of Powertools' own parser, unchanged."""

from decimal import Decimal
from typing import Any

from aws_lambda_powertools.utilities.parser import BaseModel
from aws_lambda_powertools.utilities.parser.models import SqsRecordModel
from aws_lambda_powertools.utilities.parser.types import Json
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse


class Order(BaseModel):
    """What a message's body holds."""

    order: str
    customer: str
    amount: Decimal


class OrderMessage(SqsRecordModel):
    """A message with an order in it."""

    body: Json[Order]


processor = BatchProcessor(event_type=EventType.SQS, model=OrderMessage)


def record_handler(record: OrderMessage) -> str:
    """Handle one message."""
    if record.body.amount > 197:
        raise ValueError("the amount is above the credit limit")
    return record.body.order


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
