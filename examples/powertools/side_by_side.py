"""Messages side by side: an async record handler, and a plain Lambda handler all the same.

As with Powertools, the whole batch is in flight at once; `concurrency=50` would bound it.
"""

import asyncio
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import AsyncBatchProcessor, EventType, async_process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = AsyncBatchProcessor(event_type=EventType.SQS)


async def record_handler(record: SQSRecord) -> str:
    """Handle one message, beside the others."""
    order = record.json_body
    await asyncio.sleep(0.005)  # stands for the call that ships it
    if order["amount"] > 197:
        raise ValueError("the amount is above the credit limit")
    return str(order["order"])


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return async_process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
