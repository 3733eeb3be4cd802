"""A processor with handlers that count: metrics of successes and failures."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import (
    BatchProcessor,
    EventType,
    ExceptionInfo,
    FailureResponse,
    SuccessResponse,
    process_partial_response,
)
from asyncbatch.powertools.types import PartialItemFailureResponse

logger = Logger()
metrics = Metrics(namespace="Shop", service="orders")


class CountingProcessor(BatchProcessor):
    """Counts what it processes."""

    def success_handler(self, record: dict[str, Any], result: Any) -> SuccessResponse:
        """Count a success, and return what says that it is one."""
        metrics.add_metric(name="OrdersShipped", unit=MetricUnit.Count, value=1)
        return super().success_handler(record, result)

    def failure_handler(self, record: SQSRecord, exception: ExceptionInfo) -> FailureResponse:
        """Count a failure."""
        metrics.add_metric(name="OrdersRefused", unit=MetricUnit.Count, value=1)
        return super().failure_handler(record, exception)


processor = CountingProcessor(event_type=EventType.SQS)


def record_handler(record: SQSRecord) -> None:
    """Handle one message."""
    if record.json_body["amount"] > 197:
        raise ValueError("the amount is above the credit limit")


@metrics.log_metrics(capture_cold_start_metric=True)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
