"""ministack as an AWS account: queues, streams, tables, and functions under AWS's own runtime client."""

import contextlib
import io
import json
import sys
import urllib.parse
import urllib.request
import uuid
import zipfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

import asyncbatch

FUNCTIONS = Path(__file__).parent / "functions"


class Clients:
    """Clients of the account, which take a while to make: one of each for all tests."""

    def __init__(self, endpoint: str, exits: contextlib.ExitStack) -> None:
        self._exits = exits
        self.endpoint = endpoint
        self.dynamodb = self._open("dynamodb")
        self.functions = self._open("lambda")
        self.kinesis = self._open("kinesis")
        self.sqs = self._open("sqs")
        self._bell = self.sqs.create_queue(QueueName=_new_name())["QueueUrl"]
        exits.callback(self.sqs.delete_queue, QueueUrl=self._bell)

    def _open(self, service: str) -> Any:
        client = boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self._exits.callback(client.close)
        return client

    def wake_mappings(self) -> None:
        """Have ministack look at its mappings: it sleeps for seconds, unless any event source gets something."""
        self.sqs.send_message(QueueUrl=self._bell, MessageBody="wake")


@dataclass(frozen=True)
class Queue:
    """An SQS queue."""

    url: str
    arn: str


@dataclass(frozen=True)
class Message:
    """A message in a queue, whether a receiver holds it or not."""

    body: str
    receives: int


class Cloud:
    """The account as one test sees it: what it makes here has a name of its own, and goes when the test ends."""

    def __init__(self, clients: Clients, exits: contextlib.ExitStack) -> None:
        self.clients = clients
        self._exits = exits

    # --- event sources
    # -------------------------------------------------------------------------------------

    def queue(self, *, visibility_timeout: int, fifo: bool = False, redrive: Any = None) -> Queue:
        attributes = {"VisibilityTimeout": str(visibility_timeout)}
        if fifo:
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        if redrive is not None:
            attributes["RedrivePolicy"] = json.dumps(redrive)
        name = _new_name() + (".fifo" if fifo else "")
        url = self.clients.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self._exits.callback(self.clients.sqs.delete_queue, QueueUrl=url)
        answer = self.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return Queue(url, answer["Attributes"]["QueueArn"])

    def send(self, queue: Queue, messages: Iterable[tuple[object, str | None]]) -> None:
        """Send what JSON can hold, each with its message group (None in a standard queue), in this order."""
        entries = [
            {"MessageBody": json.dumps(body), **({} if group is None else {"MessageGroupId": group})}
            for body, group in messages
        ]
        for start in range(0, len(entries), 10):
            batch = [{"Id": str(n), **each} for n, each in enumerate(entries[start : start + 10])]
            answer = self.clients.sqs.send_message_batch(QueueUrl=queue.url, Entries=batch)
            assert not answer.get("Failed"), answer

    def messages(self, queue: Queue) -> list[Message]:
        """All messages of a queue, the held ones too: ministack tells, SQS has no such call."""
        query = urllib.parse.urlencode({"QueueUrl": queue.url})
        url = f"{self.clients.endpoint}/_ministack/sqs/messages?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            accounts = json.load(answer)["messages"]
        return [
            Message(each["Body"], each["ReceiveCount"])
            for regions in accounts.values()
            for queues in regions.values()
            for messages in queues.values()
            for each in messages
        ]

    def stream(self, *, shards: int) -> tuple[str, str]:
        """A Kinesis stream: its name and its ARN."""
        kinesis, name = self.clients.kinesis, _new_name()
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        self._exits.callback(kinesis.delete_stream, StreamName=name)
        kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        return name, kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]

    def table(self, key: str) -> tuple[str, str]:
        """A DynamoDB table with a stream: its name and the stream's ARN."""
        name = _new_name()
        table = self.clients.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self._exits.callback(self.clients.dynamodb.delete_table, TableName=name)
        return name, table["TableDescription"]["LatestStreamArn"]

    # --- functions and their mappings
    # ------------------------------------------------------------------------------------

    def function(self, handler: str, *, environments: int = 1, **variables: str) -> str:
        """A function of the folder `functions`, with as many execution environments, all of them warm."""
        name = _new_name()
        functions = self.clients.functions
        functions.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Role="arn:aws:iam::000000000000:role/chain",
            Handler=handler,
            Code={"ZipFile": _package()},
            Timeout=20,
            Environment={"Variables": variables},
        )
        self._exits.callback(functions.delete_function, FunctionName=name)
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=environments)
        # A cold start on a busy machine may take longer than a short visibility timeout.
        with ThreadPoolExecutor(environments) as threads:
            list(threads.map(self._warm_up, [name] * environments))
        return name

    def _warm_up(self, name: str) -> None:
        answer = self.clients.functions.invoke(FunctionName=name, Payload=b'{"Records": []}')
        payload = answer["Payload"].read()
        assert "FunctionError" not in answer, payload

    def connect(self, source_arn: str, function: str, *, partial: bool = False, **options: Any) -> None:
        """An event source mapping, with partial responses if so told."""
        kinds = ["ReportBatchItemFailures"] if partial else []
        mapping = self.clients.functions.create_event_source_mapping(
            EventSourceArn=source_arn, FunctionName=function, FunctionResponseTypes=kinds, **options
        )
        self._exits.callback(self.clients.functions.delete_event_source_mapping, UUID=mapping["UUID"])
        self.clients.wake_mappings()


def _new_name() -> str:
    return f"chain-{uuid.uuid4().hex}"


def _package() -> bytes:
    """The code of all functions, and a bootstrap that runs them under this interpreter's awslambdaric."""
    ours = Path(asyncbatch.__path__[0]).parent
    bootstrap = zipfile.ZipInfo("bootstrap")
    bootstrap.external_attr = 0o755 << 16
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr(
            bootstrap,
            f"#!/bin/sh\nexport PYTHONPATH='{ours}'\nexec '{sys.executable}' -m awslambdaric \"$_HANDLER\"\n",
        )
        for module in FUNCTIONS.glob("*.py"):
            archive.write(module, module.name)
    return package.getvalue()
