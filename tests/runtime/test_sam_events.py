"""Our events beside those that AWS's SAM command line makes: the same names, the same types."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asyncbatch.testing import dynamodb_event, kinesis_event, sqs_event

OLD, NEW = {"Id": 101, "Message": "old"}, {"Id": 101, "Message": "new"}
OURS = {
    "sqs receive-message": sqs_event(["Hello from SQS!"]),
    "kinesis get-records": kinesis_event(["Hello"], keys=["key"]),
    "dynamodb update": dynamodb_event([NEW, NEW, None], old_items=[None, OLD, OLD], key="Id"),
}


def shape(value: Any) -> Any:
    """Return a value's names and types, without its content."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


@pytest.mark.parametrize("kind", OURS)
def test_our_events_have_the_shape_of_sams(sam_venv: Path, kind: str, tmp_path: Path) -> None:
    made = subprocess.run(
        [sam_venv / "bin" / "sam", "local", "generate-event", *kind.split()],
        check=True,
        capture_output=True,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "HOME": str(tmp_path)},
    )
    sams = json.loads(made.stdout)
    assert shape(OURS[kind]) == shape(sams)
    ours = OURS[kind]["Records"]
    for key in ("eventSource", "eventName", "eventVersion"):
        assert [each.get(key) for each in ours] == [each.get(key) for each in sams["Records"]]
