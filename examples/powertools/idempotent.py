"""Idempotent records: a message that comes again, after it was processed, is not processed again.

The record has to come by its keyword, as it does. The table is made by `sam/idempotency_table.yaml`.
"""

import os
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = BatchProcessor(event_type=EventType.SQS)
config = IdempotencyConfig(event_key_jmespath="messageId")
table = DynamoDBPersistenceLayer(table_name=os.environ.get("TABLE_NAME", "idempotency"))


@idempotent_function(data_keyword_argument="record", config=config, persistence_store=table)
def record_handler(record: SQSRecord) -> dict[str, str]:
    """Handle one message, once."""
    order = record.json_body
    if order["amount"] > 197:
        raise ValueError("the amount is above the credit limit")
    return {"shipped": order["order"]}


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response; the context tells how long a record may be in progress."""
    config.register_lambda_context(context)
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
