"""SQS FIFO side by side, which Powertools does not have: groups beside each other, each in order."""

import asyncio
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import SqsFifoPartialProcessor, async_process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = SqsFifoPartialProcessor(skip_group_on_error=True, concurrency=10)


async def record_handler(record: SQSRecord) -> None:
    """Handle one message."""
    await asyncio.sleep(0.005)  # stands for the call that ships it
    if record.json_body["amount"] > 197:
        raise ValueError("the amount is above the credit limit")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return async_process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
