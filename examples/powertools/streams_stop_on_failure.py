"""Kinesis, `stop_on_failure`: nothing is done behind a failure that Lambda would have done again anyway.

Powertools does not have it. Side by side, as here, the records of one partition key stay in order.
"""

import asyncio
from typing import Any

from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import AsyncBatchProcessor, EventType, async_process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = AsyncBatchProcessor(EventType.KinesisDataStreams, stop_on_failure=True, concurrency=20)


async def record_handler(record: KinesisStreamRecord) -> None:
    """Handle one record."""
    await asyncio.sleep(0.005)  # stands for the call that ships it
    if record.kinesis.data_as_json()["amount"] > 197:
        raise ValueError("the amount is above the credit limit")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response: one entry at most, the checkpoint."""
    return async_process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
