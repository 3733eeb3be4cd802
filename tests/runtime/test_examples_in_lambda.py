"""The examples as Lambda functions under AWS's runtime client."""

from pathlib import Path
from typing import Any

import pytest

from asyncbatch import EventSource
from asyncbatch.testing import RuntimeProcess, sample_event

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = [
    ("sqs", EventSource.SQS),
    ("sqs_fifo", EventSource.SQS_FIFO),
    ("kinesis", EventSource.KINESIS),
    ("dynamodb", EventSource.DYNAMODB),
    ("kafka", EventSource.KAFKA),
    ("model", EventSource.SQS),
    ("threaded", EventSource.SQS),
]


def identifiers(event: dict[str, Any]) -> list[Any]:
    """Name each record as a reply does, read without the package."""
    if "records" in event:
        return [
            {"partition": log, "offset": record["offset"]}
            for log, records in event["records"].items()
            for record in records
        ]
    names = {
        "aws:sqs": lambda record: record["messageId"],
        "aws:kinesis": lambda record: record["kinesis"]["sequenceNumber"],
        "aws:dynamodb": lambda record: record["dynamodb"]["SequenceNumber"],
    }
    return [names[record["eventSource"]](record) for record in event["Records"]]


@pytest.mark.parametrize(("name", "source"), CASES, ids=[name for name, _ in CASES])
def test_an_example_is_a_function(name: str, source: EventSource) -> None:
    with RuntimeProcess(f"{name}.lambda_handler", path=EXAMPLES) as function:
        reported = 0
        for seed in range(3):
            event = sample_event(source, 100, keys=20, seed=seed)
            result = function.invoke(event, timeout=10.0)
            assert result.replied, result
            failed = [each["itemIdentifier"] for each in result.payload["batchItemFailures"]]
            assert all(each in identifiers(event) for each in failed)
            assert len(failed) < 100
            reported += len(failed)
        assert reported  # refused orders are among the samples
