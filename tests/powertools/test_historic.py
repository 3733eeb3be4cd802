"""The historic generation: what succeeded is deleted from the queue, what failed stays, over real sockets."""

import asyncio
import json
import subprocess
import sys
import uuid

import boto3
import pytest
from botocore.config import Config
from libraries import deprecated

from asyncbatch import InvalidOptionError
from asyncbatch._sqs import delete_messages
from asyncbatch.powertools import PartialSQSProcessor, batch_processor, sqs_batch_processor
from asyncbatch.powertools.exceptions import BaseBatchProcessingError, SQSBatchProcessingError

pytestmark = pytest.mark.filterwarnings(
    "ignore:The sqs_batch_processor decorator and PartialSQSProcessor:UserWarning"
)


@pytest.fixture
def queue(aws):
    """A queue, and the records of its messages as Lambda would deliver them."""
    client = boto3.client("sqs")
    return Queue(client, client.create_queue(QueueName=f"orders-{uuid.uuid4().hex}")["QueueUrl"])


class Queue:
    def __init__(self, client, url):
        self.client = client
        self.url = url
        self.arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]

    def deliver(self, *bodies):
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)
        messages = []
        while len(messages) < len(bodies):
            messages += self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)["Messages"]
        messages.sort(key=lambda message: bodies.index(message["Body"]))
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "eventSource": "aws:sqs",
                "eventSourceARN": self.arn,
                "awsRegion": "eu-west-1",
            }
            for message in messages
        ]

    @property
    def left(self):
        """How many messages the queue still has, received ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)


def handler(record):
    if record["body"].startswith("bad"):
        raise ValueError(record["body"])
    return record["body"]


async def async_handler(record):
    await asyncio.sleep(0)
    return handler(record)


@pytest.mark.parametrize("call", ["process", "async_process"])
@pytest.mark.parametrize("record_handler", [handler, async_handler])
def test_what_succeeded_is_deleted_and_the_rest_fails_the_invocation(queue, call, record_handler):
    records = queue.deliver("a", "bad b", "c")
    processor = PartialSQSProcessor()
    with pytest.raises(SQSBatchProcessingError) as caught:
        with processor(records, record_handler):
            entries = getattr(processor, call)()
    assert [entry[0] for entry in entries] == ["success", "fail", "success"]
    assert entries[0] == ("success", "a", records[0])
    assert entries[1] == ("fail", "<class 'ValueError'>:bad b", records[1])
    assert queue.left == 1
    assert caught.value.msg == (
        "Not all records processed successfully. 1 individual errors logged separately below."
    )
    assert isinstance(caught.value, BaseBatchProcessingError)
    assert str(caught.value).startswith(f"{caught.value.msg}\n\nTraceback (most recent call last):")
    assert processor.success_messages == [records[0], records[2]]
    assert processor.fail_messages == [records[1]]


def test_if_all_succeeded_nothing_is_deleted_because_lambda_does(queue):
    records = queue.deliver("a", "b")
    processor = PartialSQSProcessor()
    with processor(records, handler):
        assert len(processor.process()) == 2
    assert queue.left == 2


def test_if_all_failed_nothing_is_deleted(queue):
    processor = PartialSQSProcessor()
    with pytest.raises(SQSBatchProcessingError, match="2 individual errors"):
        with processor(queue.deliver("bad a", "bad b"), handler):
            processor.process()
    assert queue.left == 2


@pytest.mark.parametrize("bodies", [("a", "bad b"), ("bad a", "bad b")])
def test_the_exception_can_be_suppressed(queue, bodies):
    processor = PartialSQSProcessor(suppress_exception=True)
    with processor(queue.deliver(*bodies), handler):
        processor.process()
    assert queue.left == sum(body.startswith("bad") for body in bodies)
    assert len(processor.exceptions) == queue.left


def test_more_than_ten_are_deleted_ten_a_call(queue):
    bodies = [f"m{at:02}" for at in range(23)]
    processor = PartialSQSProcessor()
    with pytest.raises(SQSBatchProcessingError):
        with processor(queue.deliver(*bodies, "bad"), handler):
            processor.process()
    assert queue.left == 1


def test_exceptions_do_not_grow_over_warm_starts(queue):
    processor = PartialSQSProcessor()
    for _ in range(3):
        with pytest.raises(SQSBatchProcessingError, match="1 individual errors"):
            with processor(queue.deliver("a", "bad b"), handler):
                processor.process()
        assert len(processor.exceptions) == 1


def test_a_message_of_which_a_copy_failed_is_not_deleted(queue):
    """A queue may hand out a message twice; deleting one copy would lose the other."""
    (record,) = queue.deliver("a")
    calls = []

    def second_fails(record):
        calls.append(record)
        if len(calls) == 2:
            raise ValueError("the second copy")

    processor = PartialSQSProcessor()
    with pytest.raises(SQSBatchProcessingError):
        with processor([record, {**record, "receiptHandle": "another"}], second_fails):
            processor.process()
    assert queue.left == 1


def test_the_decorators(queue):
    records = queue.deliver("a", "bad b")

    @sqs_batch_processor(record_handler=handler)
    def lambda_handler(event, context):
        pytest.fail("the invocation has failed by then")

    with pytest.raises(SQSBatchProcessingError):
        lambda_handler({"Records": records}, None)
    assert queue.left == 1

    @sqs_batch_processor(record_handler=handler, suppress_exception=True)
    def suppressed(event, context):
        return {"statusCode": 200}

    assert suppressed({"Records": queue.deliver("c", "bad d")}, None) == {"statusCode": 200}
    assert queue.left == 2

    @batch_processor(record_handler=handler, processor=PartialSQSProcessor())
    def general(event, context):
        return {"statusCode": 200}

    with deprecated():
        assert general({"Records": queue.deliver("e")}, None) == {"statusCode": 200}
    assert queue.left == 3, "Lambda deletes a batch of which nothing failed"


def test_a_config_and_a_session_are_used(queue, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    session = boto3.Session(
        aws_access_key_id="k", aws_secret_access_key="s", aws_session_token="t", region_name="eu-west-1"
    )
    processor = PartialSQSProcessor(Config(connect_timeout=7), boto3_session=session)
    with pytest.raises(SQSBatchProcessingError):
        with processor(queue.deliver("a", "bad b"), handler):
            processor.process()
    assert queue.left == 1

    async def look():
        async with processor._open_client_() as client:
            credentials = await client._request_signer._credentials.get_frozen_credentials()
            return client.meta.config.connect_timeout, credentials.token

    assert asyncio.run(look()) == (7, "t")


def test_what_cannot_be_deleted_comes_again_and_is_told(queue, monkeypatch, caplog):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    processor = PartialSQSProcessor(Config(connect_timeout=0.2, retries={"max_attempts": 0}))
    with pytest.raises(SQSBatchProcessingError):
        with processor(queue.deliver("a", "bad b"), handler):
            processor.process()
    assert queue.left == 2
    assert "1 of 1 messages that succeeded were not deleted and will be delivered again" in caplog.text


def test_lists_that_are_filled_by_hand_will_do(queue):
    """As tests of the first version did it."""
    records = queue.deliver("a", "bad b")
    processor = PartialSQSProcessor()
    processor.records = records
    processor.success_messages, processor.fail_messages = [records[0]], [records[1]]
    with pytest.raises(SQSBatchProcessingError, match="Not all records processed successfully"):
        processor._clean()
    assert queue.left == 1


def test_nor_is_it_a_loss_if_no_client_can_be_made(queue, monkeypatch, caplog):
    def no_client(self):
        raise OSError("no credentials")

    monkeypatch.setattr(PartialSQSProcessor, "_open_client_", no_client)
    with pytest.raises(SQSBatchProcessingError):
        processor = PartialSQSProcessor()
        with processor(queue.deliver("a", "bad b"), handler):
            processor.process()
    assert "(OSError)" in caplog.text


def test_the_queue_url():
    processor = PartialSQSProcessor()
    processor([], handler)
    assert processor._get_queue_url() is None
    processor([{"eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:orders"}], handler)
    assert processor._get_queue_url() == "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
    assert processor._get_queue_url("http://127.0.0.1:1/") == "http://127.0.0.1:1/123456789012/orders"


def test_construction_warns():
    with pytest.warns(UserWarning, match="PartialSQSProcessor class are now deprecated") as told:
        processor = PartialSQSProcessor()
    assert type(told[0].message) is UserWarning
    assert processor.max_message_batch == 10
    assert processor.suppress_exception is False


def test_without_aiobotocore_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidOptionError, match=r"pip install \"asyncbatch\[aws\]\""):
        PartialSQSProcessor()


def test_the_permission_is_named():
    assert "sqs:DeleteMessage" in PartialSQSProcessor.__doc__
    assert "Lambda deletes the failed messages too" in PartialSQSProcessor.__doc__


def test_aiobotocore_loads_when_a_message_has_to_be_deleted():
    code = """
import sys, warnings
warnings.simplefilter("ignore")
from asyncbatch.powertools import PartialSQSProcessor
processor = PartialSQSProcessor()
with processor([{"messageId": "m"}], lambda record: None):
    processor.process()
print(sorted({"aiobotocore", "botocore", "boto3"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- batched deletes ----------------------------------------------------------------------------------


class Service:
    """An SQS client that answers as it is told: the answers that moto does not give."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    async def delete_message_batch(self, *, QueueUrl, Entries):  # noqa: N803 - AWS's names
        assert len({entry["Id"] for entry in Entries}) == len(Entries) <= 10
        self.calls.append([entry["ReceiptHandle"] for entry in Entries])
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]} if answer is None else answer


async def test_only_what_is_confirmed_counts_as_deleted():
    service = Service(
        {"Successful": [{"Id": "0"}], "Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError"}]}
    )
    result = await delete_messages(service, "url", ["a", "b", "c"])
    assert result.deleted == ["a"]
    assert result.failed == {"b": "InternalError", "c": "not confirmed"}


@pytest.mark.parametrize(
    "answer", [{}, {"Successful": None, "Failed": None}, {"Successful": []}], ids=json.dumps
)
async def test_an_answer_that_confirms_nothing_deletes_nothing(answer):
    result = await delete_messages(Service(answer), "url", ["a"])
    assert result == ([], {"a": "not confirmed"})


async def test_a_call_that_fails_does_not_stop_the_others():
    handles = [str(at) for at in range(25)]
    service = Service(None, OSError("reset"), None)
    result = await delete_messages(service, "url", handles)
    assert [len(call) for call in service.calls] == [10, 10, 5]
    assert result.deleted == [*handles[:10], *handles[20:]]
    assert set(result.failed) == set(handles[10:20])
    assert set(result.failed.values()) == {"OSError"}


async def test_a_handle_is_deleted_once():
    service = Service()
    assert (await delete_messages(service, "url", ["a", "b", "a"])).deleted == ["a", "b"]
    assert service.calls == [["a", "b"]]


async def test_nothing_is_asked_for_nothing():
    service = Service()
    assert await delete_messages(service, "url", []) == ([], {})
    assert not service.calls
