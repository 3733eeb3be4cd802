"""The examples that call AWS, against moto's server over real sockets."""

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest

from asyncbatch import EventSource
from asyncbatch.testing import LambdaContext, sample_event

Load = Callable[[str], ModuleType]


@pytest.fixture
def orders(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A table of orders."""
    monkeypatch.setenv("TABLE_NAME", "orders")
    table = boto3.resource("dynamodb", endpoint_url=aws).create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield table
    table.delete()


@pytest.fixture
def queue(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A queue of 25 orders, one of them bad."""
    queue = boto3.resource("sqs", endpoint_url=aws).create_queue(QueueName="orders")
    monkeypatch.setenv("QUEUE_URL", queue.url)
    for number in range(25):
        order = {"order": f"o-{number}", "customer": "c-1", "amount": 0 if number == 13 else 5}
        queue.send_message(MessageBody=json.dumps(order))
    yield queue
    queue.delete()


def waiting(queue: Any) -> tuple[int, int]:
    """Return how many messages can be received, and how many are held by a receiver."""
    queue.load()
    return (
        int(queue.attributes["ApproximateNumberOfMessages"]),
        int(queue.attributes["ApproximateNumberOfMessagesNotVisible"]),
    )


def test_a_client_from_a_lifespan_stores_every_order(example: Load, orders: Any) -> None:
    handler = example("aws_client").lambda_handler
    event = sample_event(EventSource.SQS, 120)
    for _ in range(2):  # the second finds the client open, and changes nothing
        assert handler(event, LambdaContext()) == {"batchItemFailures": []}
    stored = {item["order"]: float(item["amount"]) for item in orders.scan()["Items"]}
    sent = [json.loads(record["body"]) for record in event["Records"]]
    assert stored == {order["order"]: order["amount"] for order in sent}


@pytest.mark.usefixtures("orders")
def test_the_client_is_opened_once(example: Load) -> None:
    module = example("aws_client")
    seen: set[int] = set()

    async def watch(_record: Any, state: Any) -> None:
        seen.add(id(state))

    for seed in range(3):
        event = sample_event(EventSource.SQS, 5, seed=seed)
        module.lambda_handler.engine.run(event, watch, LambdaContext())
    assert len(seen) == 1


@pytest.mark.usefixtures("orders")
def test_an_order_that_cannot_be_stored_comes_back(example: Load) -> None:
    event = sample_event(EventSource.SQS, 3)
    event["Records"][1]["body"] = '{"order": "", "customer": "c", "amount": 1}'  # an empty key
    reply = example("aws_client").lambda_handler(event, LambdaContext())
    assert reply == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}


def test_a_schedule_empties_the_queue_but_for_the_bad_message(example: Load, queue: Any) -> None:
    assert example("cron_pull").lambda_handler({}, LambdaContext(30)) == {"deleted": 24}
    assert waiting(queue) == (0, 1)


def test_a_schedule_without_time_receives_nothing(example: Load, queue: Any) -> None:
    assert example("cron_pull").lambda_handler({}, LambdaContext(1)) == {"deleted": 0}
    assert waiting(queue) == (25, 0)


class HalfDeleting:
    """An SQS client whose batch call answers 200 and deletes all but the second message."""

    async def delete_message_batch(self, *, Entries: list[dict[str, str]], **_: Any) -> Any:  # noqa: N803 - AWS's name
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        self.handles = [entry["ReceiptHandle"] for entry in Entries]
        bad = {"Id": Entries[1]["Id"], "SenderFault": False, "Code": "InternalError"}
        return {"Successful": [Entries[0], *Entries[2:]], "Failed": [bad]}


async def test_what_was_not_deleted_is_told(example: Load, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("cron_pull")
    event = sample_event(EventSource.SQS, 3)
    event["Records"].append(event["Records"][0])  # SQS may hand out a message twice
    report = await module.engine.process(event, module.handle)
    client = HalfDeleting()
    assert await module.delete(client, "url", report.succeeded) == 3
    assert client.handles == [record["receiptHandle"] for record in event["Records"]]
    told = capsys.readouterr().out
    assert told == f"not deleted: {event['Records'][1]['messageId']} (InternalError)\n"
