"""Corners of the run cycle: uses that the documentation does not show, and that no loss may come of."""

import asyncio
import sys

import pytest
from libraries import OURS, deprecated, event_of, fails, handler_of, names, process, reply

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BasePartialProcessor,
    BatchProcessor,
    EventType,
    PartialSQSProcessor,
    async_process_partial_response,
    batch_processor,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import BatchProcessingError
from asyncbatch.testing import LambdaContext

EVENT = event_of("SQS", ["a", "bad b", "c"])
RECORDS = EVENT["Records"]
A, B, C = names(RECORDS)


def test_a_block_can_be_entered_again():
    processor = BatchProcessor(EventType.SQS)
    processor(RECORDS, handler_of(fails))
    for _ in range(2):
        with processor:
            processor.process()
        assert processor.response() == reply(B)


def test_a_block_can_be_left_without_being_entered():
    processor = BatchProcessor(EventType.SQS)
    processor.__exit__(None, None, None)
    assert processor.response() == reply()


def test_a_processor_can_be_filled_by_hand(lib):
    processor = lib.batch.BatchProcessor(lib.batch.EventType.SQS)
    processor.records = RECORDS
    processor.handler = handler_of(fails)
    processor._handler_accepts_lambda_context = False
    assert [entry[0] for entry in processor.process()] == ["success", "fail", "success"]
    processor._clean()
    assert processor.response() == reply(B)


def test_processing_without_a_block(lib):
    processor = lib.batch.BatchProcessor(lib.batch.EventType.SQS)
    assert [entry[0] for entry in processor(RECORDS, handler_of(fails)).process()] == [
        "success",
        "fail",
        "success",
    ]
    assert len(processor.fail_messages) == 1


@pytest.mark.parametrize("first", [["a", "c"], ["bad", "bad"]], ids=["good", "bad"])
def test_two_runs_in_a_block_are_judged_together(first):
    class Forgetful(BatchProcessor):
        def failure_handler(self, record, exception):
            return "fail", "noted elsewhere", record

    batches = [event_of("SQS", bodies)["Records"] for bodies in (first, ["a", "c"], ["bad", "bad"])]
    for batch, letter in zip(batches, "xyz", strict=True):
        for record in batch:
            record["messageId"] += letter
    processor = Forgetful(EventType.SQS)
    with processor(batches[0], handler_of(fails)):
        processor.process()
        for batch in batches[1:] if first == ["a", "c"] else batches[1:2]:
            processor.records = batch
            processor.process()
    failed = names(batches[2] if first == ["a", "c"] else batches[0])
    assert processor.response() == reply(*failed)


class OwnBooks(BatchProcessor):
    """A processor whose `process` is its own."""

    def process(self):
        for record in self.records:
            data = self._to_batch_type(record, event_type=self.event_type)
            try:
                self.handler(record=data)
            except ValueError:
                self.failure_handler(record=data, exception=sys.exc_info())
        return []


def test_a_process_of_ones_own_reports_what_it_noted():
    assert process_partial_response(EVENT, handler_of(fails), OwnBooks(EventType.SQS)) == reply(B)
    with pytest.raises(BatchProcessingError, match="3 individual errors"):
        process_partial_response(EVENT, handler_of(lambda _: fails("bad")), OwnBooks(EventType.SQS))


class Table(BasePartialProcessor):
    def _prepare(self):
        self.success_messages.clear()
        self.fail_messages.clear()

    def _clean(self): ...

    def _process_record(self, record):
        return self.success_handler(record, self.handler(record))

    async def _async_process_record(self, record):
        return self.success_handler(record, await self.handler(record))


def test_a_processor_without_an_event_type_has_a_deadline_too():
    async def slow(record):
        await asyncio.sleep(0 if record is RECORDS[0] else 30)

    processor = Table()
    with processor(RECORDS, slow, LambdaContext(timeout=0.5)):
        entries = processor.async_process()
    assert [entry[0] for entry in entries] == ["success", "fail", "fail"]
    assert processor.fail_messages == RECORDS[1:], "the raw records, because it knows no others"
    with processor(RECORDS, lambda record: record, LambdaContext(timeout=0.2)):
        assert [entry[0] for entry in processor.process()] == ["fail"] * 3


@pytest.mark.parametrize("notes", [True, False])
def test_a_late_success_is_withdrawn_where_it_was_noted(notes):
    class Late(AsyncBatchProcessor):
        def success_handler(self, record, result):
            if notes:
                return super().success_handler(record, result)
            return "success", result, record

    async def swallows(record):
        try:
            await asyncio.sleep(30 if record.body == "bad b" else 0)
        except asyncio.CancelledError:
            return

    processor = Late(EventType.SQS)
    assert async_process_partial_response(EVENT, swallows, processor, LambdaContext(timeout=0.5)) == reply(B)
    assert processor.success_messages == ([RECORDS[0], RECORDS[2]] if notes else [])


def test_lists_that_an_override_fills_its_own_way_are_left_in_its_order():
    class Twice(AsyncBatchProcessor):
        def success_handler(self, record, result):
            self.success_messages.append(record["body"])
            return super().success_handler(record, result)

    async def handler(record):
        await asyncio.sleep(0.002 if record.body == "a" else 0)

    processor = Twice(EventType.SQS)
    assert async_process_partial_response(EVENT, handler, processor) == reply()
    assert processor.success_messages == ["bad b", RECORDS[1], "c", RECORDS[2], "a", RECORDS[0]]


def test_a_model_of_kafka_records_without_headers():
    class Model:
        def __init__(self, raw):
            self.__dict__.update(raw)

        @classmethod
        def model_validate(cls, raw):
            return cls(raw)

    records = [{"topic": "t", "partition": 0, "offset": at, "value": ""} for at in range(2)]
    event = {"records": {"t-0": records}}

    def handler(record):
        if record.offset:
            raise ValueError("bad")

    answer = process_partial_response(event, handler, BatchProcessor(EventType.Kafka, Model))
    assert answer == reply({"partition": "t-0", "offset": 1})


def test_without_powertools_there_is_no_subsegment(monkeypatch):
    monkeypatch.setenv("POWERTOOLS_TRACE_MIDDLEWARES", "1")
    monkeypatch.setitem(sys.modules, "aws_lambda_powertools", None)
    processor = BatchProcessor(EventType.SQS)

    @batch_processor(record_handler=handler_of(fails), processor=processor)
    def lambda_handler(event, context):
        return processor.response()

    with deprecated():
        assert lambda_handler(EVENT, None) == reply(B)


@pytest.mark.filterwarnings("ignore:The sqs_batch_processor decorator:UserWarning")
@pytest.mark.parametrize("call", ["process", "async_process"])
def test_an_interrupt_deletes_nothing_that_is_unfinished(call, monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)

    class Client:
        class meta:  # noqa: N801 - botocore's name
            endpoint_url = "http://127.0.0.1:9"

        deleted: list[str] = []  # noqa: RUF012 - one test

        async def delete_message_batch(self, *, QueueUrl, Entries):  # noqa: N803 - AWS's names
            self.deleted.extend(entry["ReceiptHandle"] for entry in Entries)
            return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def handler(record):
        if record["body"] == "bad b":
            raise KeyboardInterrupt

    processor = PartialSQSProcessor()
    processor.client = Client()
    Client.deleted.clear()
    with pytest.raises(KeyboardInterrupt):
        with processor(RECORDS, handler):
            getattr(processor, call)()
    assert Client.deleted == [RECORDS[0]["receiptHandle"]]


@pytest.mark.filterwarnings("ignore:The sqs_batch_processor decorator:UserWarning")
def test_a_session_without_credentials_leaves_them_to_the_environment():
    class Session:
        region_name = None

        def get_credentials(self):
            return None

    processor = PartialSQSProcessor(boto3_session=Session())
    processor(RECORDS, None)

    async def region():
        async with processor._open_client_() as client:
            return client.meta.region_name

    assert asyncio.run(region()) == "eu-west-1"


def test_the_wrong_kind_of_event_names_sqs_where_the_processor_has_no_type():
    with pytest.raises(ValueError, match="valid SQS event"):
        process(OURS, None, None, Table())
