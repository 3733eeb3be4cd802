"""The unit test of a function: an event from a file, a context of a few fields, the processor's lists.

python -m pytest examples/powertools/unit_test.py
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from unit_test_app import lambda_handler, processor

EVENTS = Path(__file__).parent / "events"


@dataclass
class Context:
    """What the logger asks of a Lambda context."""

    function_name: str = "orders"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
    aws_request_id: str = "52fdfc07-2182-154f-163f-5f0f9a621d72"


@pytest.fixture
def event() -> dict[str, Any]:
    """Two messages: the second is above the credit limit."""
    loaded: dict[str, Any] = json.loads((EVENTS / "sqs.json").read_text())
    return loaded


def test_the_bad_message_is_reported(event: dict[str, Any]) -> None:
    """One succeeds, one fails, and one is in the response."""
    good, bad = event["Records"]
    assert lambda_handler(event, Context()) == {"batchItemFailures": [{"itemIdentifier": bad["messageId"]}]}
    assert processor.success_messages == [good]
    assert len(processor.fail_messages) == 1
