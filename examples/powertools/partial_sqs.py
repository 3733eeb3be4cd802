"""The historic generation: a processor that deletes what succeeded itself, and fails the invocation.

For mappings without `ReportBatchItemFailures`. The role needs `sqs:DeleteMessageBatch` on the queue,
and the layer `pip install "asyncbatch[aws]"`.
"""

from typing import Any

from asyncbatch.powertools import PartialSQSProcessor, batch_processor, sqs_batch_processor

processor = PartialSQSProcessor()


def record_handler(record: dict[str, Any]) -> str:
    """Handle one raw message."""
    if not record["body"]:
        raise ValueError("the body is empty")
    return str(record["body"])


def context_manager_handler(event: dict[str, Any], _context: object) -> int:
    """Process and delete; a failure raises when the block is left."""
    with processor(event["Records"], record_handler):
        entries = processor.process()
    return len(entries)


@batch_processor(record_handler=record_handler, processor=PartialSQSProcessor())
def decorated_handler(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Run after the batch, if nothing failed."""
    return {"statusCode": 200}


@sqs_batch_processor(record_handler=record_handler)
def lambda_handler(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Run after the batch, if nothing failed."""
    return {"statusCode": 200}
