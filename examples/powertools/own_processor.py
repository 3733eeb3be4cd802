"""A processor of one's own: the results go to a DynamoDB table, all at once, when the batch is done.

The table is made by `sam/own_processor_table.yaml`; its name is in the environment variable TABLE_NAME.
"""

import os
import sys
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import BasePartialProcessor, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

logger = Logger()


class TableProcessor(BasePartialProcessor):
    """Stores what the record handler returns."""

    def __init__(self, table_name: str) -> None:
        self.table_name = table_name
        self.batch_response: PartialItemFailureResponse = {"batchItemFailures": []}
        super().__init__()

    def _prepare(self) -> None:
        """Run once, before the first record."""
        self.table = boto3.resource("dynamodb").Table(self.table_name)
        self.success_messages.clear()
        self.fail_messages.clear()

    def _clean(self) -> None:
        """Run once, after the last record: store the results, report the failures."""
        with self.table.batch_writer() as batch:
            for item in self.success_messages:
                batch.put_item(Item=item)
        self.batch_response = {
            "batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in self.fail_messages]
        }

    def response(self) -> PartialItemFailureResponse:
        """Return the partial batch response."""
        return self.batch_response

    def _process_record(self, record: dict[str, Any]) -> Any:
        """Handle one record; `self.handler` is the record handler."""
        try:
            return self.success_handler(record, self.handler(record))
        except Exception:
            logger.exception("the record failed")
            return self.failure_handler(record, sys.exc_info())

    def success_handler(self, record: dict[str, Any], result: Any) -> tuple[str, Any, Any]:
        """Keep what is to be stored."""
        self.success_messages.append({"messageId": record["messageId"], "length": result})
        return "success", result, record

    async def _async_process_record(self, record: dict[str, Any]) -> Any:
        raise NotImplementedError


processor = TableProcessor(os.environ.get("TABLE_NAME", "batch-results"))


def record_handler(record: dict[str, Any]) -> int:
    """Handle one raw message."""
    if not record["body"]:
        raise ValueError("the body is empty")
    return len(record["body"])


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
