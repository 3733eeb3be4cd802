"""Powertools' other utilities beside the facade: nothing of them needs to change."""

import asyncio
import io
import json
import subprocess
import sys

import pytest
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer, DataRecord
from aws_lambda_powertools.utilities.typing import LambdaContext as TheirContext
from libraries import event_of, names, reply

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    async_process_partial_response,
    batch_processor,
    process_partial_response,
)
from asyncbatch.testing import LambdaContext

EVENT = event_of("SQS", ['{"order": "a"}', '{"order": "b"}', '{"order": "c"}'])
A, B, C = names(EVENT["Records"])


@pytest.fixture(autouse=True)
def _powertools(monkeypatch):
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "orders")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Shop")
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "1")


def test_a_handler_annotated_with_powertools_record_works_unchanged():
    seen = []

    def record_handler(record: SQSRecord) -> str:
        seen.append((record.message_id, record.json_body["order"], record.attributes.sent_timestamp))
        return record.body

    def lambda_handler(event: dict, context: TheirContext) -> dict:
        return process_partial_response(
            event=event,
            record_handler=record_handler,
            processor=BatchProcessor(EventType.SQS),
            context=context,
        )

    assert lambda_handler(EVENT, TheirContext()) == reply()
    assert [order for _, order, _ in seen] == ["a", "b", "c"]


def test_logger_and_tracer_and_metrics_around_a_batch(capsys):
    stream = io.StringIO()
    logger, tracer, metrics = Logger(stream=stream), Tracer(), Metrics()
    processor = BatchProcessor(EventType.SQS, logger=logger)

    @tracer.capture_method
    def record_handler(record: SQSRecord) -> None:
        logger.append_keys(message_id=record.message_id)
        logger.info("order", extra={"record": record.json_body})
        if record.json_body["order"] == "b":
            metrics.add_metric(name="Refused", unit=MetricUnit.Count, value=1)
            raise ValueError("refused")

    @logger.inject_lambda_context(clear_state=True)
    @tracer.capture_lambda_handler
    @metrics.log_metrics
    def lambda_handler(event, context):
        return process_partial_response(event, record_handler, processor, context)

    assert lambda_handler(EVENT, LambdaContext()) == reply(B)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    orders = [line for line in lines if line["message"] == "order"]
    assert [line["message_id"] for line in orders] == [A, B, C]
    (warning,) = [line for line in lines if line["level"] == "WARNING"]
    assert warning["message"] == "Record processing exception; skipping this record"
    assert warning["exception_name"] == "ValueError"
    (emf,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert emf["Refused"] == [1.0]
    assert emf["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Shop"


def test_logger_of_concurrent_records():
    stream = io.StringIO()
    logger = Logger(service="concurrent", stream=stream)

    async def record_handler(record):
        logger.thread_safe_append_keys(message_id=record.message_id)
        await asyncio.sleep(0.001 * (3 - "abc".index(record.json_body["order"])))
        logger.info("done", extra={"order": record.json_body["order"]})

    assert (
        async_process_partial_response(EVENT, record_handler, AsyncBatchProcessor(EventType.SQS)) == reply()
    )
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {(line["order"], line["message_id"]) for line in lines} == {("a", A), ("b", B), ("c", C)}


TRACED = """
import json
from aws_xray_sdk.core import xray_recorder
from aws_lambda_powertools import Tracer
from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response

tracer, names, sent = Tracer(auto_patch=False), [], []

@tracer.capture_method(capture_response=False)
def record_handler(record):
    names.append(xray_recorder.current_subsegment().name)
    if record.body == "bad":
        raise ValueError("refused")

event = {"Records": [{"messageId": "a", "body": ""}, {"messageId": "b", "body": "bad"}]}
xray_recorder.emitter.send_entity = lambda entity: sent.append(getattr(entity, "fault", False))
answer = process_partial_response(event, record_handler, BatchProcessor(EventType.SQS))
print(json.dumps([answer, names, sent]))
"""


def test_the_tracer_with_the_real_sdk(monkeypatch):
    """A subsegment per record, as in Lambda, where alone it traces; what it would send is collected.

    In a process of its own: Powertools cannot enable a tracer again that it has once disabled.
    """
    monkeypatch.delenv("POWERTOOLS_TRACE_DISABLED")
    monkeypatch.setenv("LAMBDA_TASK_ROOT", "/var/task")
    monkeypatch.setenv("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR")
    monkeypatch.setenv(
        "_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    )
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, check=False)
    answer, traced, failed = json.loads(done.stdout)
    assert answer == reply("b")
    assert traced == ["## __main__.record_handler"] * 2, done.stderr
    assert failed == [False, True]


class Memory(BasePersistenceLayer):
    """Powertools' persistence layer over a dict, so that its own idempotency code runs."""

    def __init__(self):
        self.kept = {}
        super().__init__()

    def _get_record(self, idempotency_key):
        if idempotency_key not in self.kept:
            raise IdempotencyItemNotFoundError
        return self.kept[idempotency_key]

    def _put_record(self, data_record: DataRecord):
        if data_record.idempotency_key in self.kept:
            raise IdempotencyItemAlreadyExistsError
        self.kept[data_record.idempotency_key] = data_record

    def _update_record(self, data_record: DataRecord):
        self.kept[data_record.idempotency_key] = data_record

    def _delete_record(self, data_record: DataRecord):
        self.kept.pop(data_record.idempotency_key, None)


def test_idempotent_functions_as_record_handlers():
    config = IdempotencyConfig(event_key_jmespath="messageId")
    persistence = Memory()
    calls = []

    @idempotent_function(data_keyword_argument="record", config=config, persistence_store=persistence)
    def record_handler(record: SQSRecord) -> dict:
        calls.append(record.message_id)
        if record.json_body["order"] == "b" and len(calls) <= 3:
            raise ValueError("only the first time")
        return {"done": record.message_id}

    def lambda_handler(event, context):
        config.register_lambda_context(context)
        return process_partial_response(event, record_handler, BatchProcessor(EventType.SQS), context)

    assert lambda_handler(EVENT, LambdaContext()) == reply(B)
    assert lambda_handler(EVENT, LambdaContext()) == reply()  # delivered again
    assert calls == [A, B, C, B]
    assert len(persistence.kept) == 3


def test_powertools_event_sources_and_decorators_around_ours():
    from aws_lambda_powertools.middleware_factory import lambda_handler_decorator
    from aws_lambda_powertools.utilities.data_classes import SQSEvent, event_source

    order = []

    @lambda_handler_decorator
    def middleware(handler, event, context):
        order.append("before")
        answer = handler(event, context)
        order.append("after")
        return answer

    @middleware
    @event_source(data_class=SQSEvent)
    def lambda_handler(event: SQSEvent, context):
        return process_partial_response(
            event, lambda record: order.append(record.message_id), BatchProcessor(EventType.SQS), context
        )

    assert lambda_handler(EVENT, LambdaContext()) == reply()
    assert order == ["before", A, B, C, "after"]


def test_our_decorators_under_powertools_decorators():
    logger = Logger(service="x", stream=io.StringIO())
    processor = BatchProcessor(EventType.SQS)

    @logger.inject_lambda_context
    @batch_processor(record_handler=lambda record: None, processor=processor)
    def lambda_handler(event, context):
        return processor.response()

    with pytest.warns(DeprecationWarning, match="deprecated in V3"):
        assert lambda_handler(EVENT, LambdaContext()) == reply()
