"""Every example the way a reader tries it: `asyncbatch invoke` in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from .conftest import EXAMPLES

SCHEDULED = {
    "version": "0",
    "id": "cdc73f9d-aea9-11e3-9d5a-835b769c0d9c",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-21T08:00:00Z",
    "region": "eu-west-1",
    "resources": ["arn:aws:events:eu-west-1:123456789012:rule/pull"],
    "detail": {},
}


def invoke(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "asyncbatch",
            "invoke",
            str(EXAMPLES / name),
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sqs.py", "sqs"),
        ("sqs_fifo.py", "sqs-fifo"),
        ("kinesis.py", "kinesis"),
        ("dynamodb.py", "dynamodb"),
        ("kafka.py", "kafka"),
        ("model.py", "sqs"),
        ("limits.py", "sqs"),
        ("threaded.py", "sqs"),
    ],
)
def test_an_example_runs_on_its_samples(name: str, source: str) -> None:
    result = invoke(name, "--sample", source, "-n", "200", "--keys", "20", "--seed", "2", "--json")
    assert (result.returncode, result.stderr) == (1, "")
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["counts"]["failed"] >= 1
    assert told["counts"]["succeeded"] >= 20
    assert told["response"]["batchItemFailures"]


def test_the_example_with_a_client(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLE_NAME", "from-the-command-line")
    table = boto3.resource("dynamodb", endpoint_url=aws).create_table(
        TableName="from-the-command-line",
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    result = invoke("aws_client.py", "--sample", "sqs", "-n", "20", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert len(table.scan()["Items"]) == 20


def test_the_example_on_a_schedule(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = boto3.resource("sqs", endpoint_url=aws).create_queue(QueueName="scheduled")
    monkeypatch.setenv("QUEUE_URL", queue.url)
    queue.send_message(MessageBody='{"order": "o-1", "customer": "c-1", "amount": 5}')
    event = tmp_path / "schedule.json"
    event.write_text(json.dumps(SCHEDULED))
    result = invoke("cron_pull.py", "--event", str(event), "--quiet")
    assert (result.returncode, json.loads(result.stdout)) == (0, {"deleted": 1})
