"""A consumer of a FIFO queue whose function is killed again and again, and what it does to the messages."""

import json
import random
from typing import Any

from cloud import Cloud, Queue
from journal import Journal

from asyncbatch.testing import RuntimeProcess


class Consumer:
    """Receives, invokes, deletes what the reply acknowledges: a mapping, with kills in between.

    Attributes:
        kills: Invocations that a kill left without a reply.
        acknowledged_undone: Messages that a reply acknowledged before their handler was ever done.
    """

    def __init__(self, cloud: Cloud, queue: Queue, process: RuntimeProcess, journal: Journal) -> None:
        self._sqs = cloud.clients.sqs
        self._queue = queue
        self._process = process
        self._journal = journal
        self._usual = 0.02  # seconds that an invocation takes
        self.kills = 0
        self.acknowledged_undone: set[str] = set()

    def drain(self, rng: random.Random, *, kills: int) -> None:
        """Go on until the queue is empty; kill some invocations, until so many had no reply."""
        while messages := self._receive():
            deadly = self.kills < kills and rng.random() < 0.6
            # Up to a little more than an invocation takes: some kills come behind the reply.
            after = rng.uniform(0, 1.2) * self._usual if deadly else None
            failed = self._invoke(messages, after)
            self._settle(messages, failed)

    def _receive(self) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue.url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        return list(answer.get("Messages", []))

    def _invoke(self, messages: list[dict[str, Any]], kill_after: float | None) -> set[str]:
        """Return the ids of the messages that the function did not acknowledge."""
        process = self._process
        invocation = process.submit({"Records": [self._record(each) for each in messages]}, timeout=20)
        if kill_after is not None:
            process.api.wait_for(lambda: invocation.ended is not None, kill_after)
            process.kill()
        result = process.wait(invocation)
        if result.replied:
            self._usual = result.duration
            return {each["itemIdentifier"] for each in result.payload.get("batchItemFailures", [])}
        assert kill_after is not None, result  # nothing else stops it
        self.kills += 1
        return {each["MessageId"] for each in messages}

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._queue.arn,
            "awsRegion": "eu-west-1",
        }

    def _settle(self, messages: list[dict[str, Any]], failed: set[str]) -> None:
        """Delete what was acknowledged; give the rest back, as the visibility timeout would."""
        acknowledged = [each for each in messages if each["MessageId"] not in failed]
        given_back = [each for each in messages if each["MessageId"] in failed]
        self.acknowledged_undone |= self._journal.missing(_name_of(each) for each in acknowledged)
        if acknowledged:
            answer = self._sqs.delete_message_batch(QueueUrl=self._queue.url, Entries=_entries(acknowledged))
            assert not answer.get("Failed"), answer
        if given_back:
            # In one call: ministack, like SQS, serves nothing of a group while one of its messages is held.
            answer = self._sqs.change_message_visibility_batch(
                QueueUrl=self._queue.url, Entries=_entries(given_back, VisibilityTimeout=0)
            )
            assert not answer.get("Failed"), answer


def _entries(messages: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    return [
        {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"], **more}
        for number, each in enumerate(messages)
    ]


def _name_of(message: dict[str, Any]) -> str:
    return json.loads(message["Body"])["name"]
