"""The examples for those who come from Powertools, on sample events; where it can, Powertools runs them too."""

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

import asyncbatch
from asyncbatch.powertools.exceptions import BatchProcessingError, SQSBatchProcessingError
from asyncbatch.testing import LambdaContext, sqs_event

Load = Callable[[str], ModuleType]

EXAMPLES = Path(__file__).parents[2] / "examples" / "powertools"

# Each example that is a function for one event: the event, and which of its records have to come back.
RUNS: dict[str, tuple[str, list[int]]] = {
    "client_per_loop": ("sqs", [1]),
    "disable_tracing": ("sqs", [1]),
    "dynamodb": ("dynamodb", [1]),
    "dynamodb_context_manager": ("dynamodb", [1]),
    "entire_batch_failure": ("sqs", [1]),
    "error_handling": ("sqs", [1]),
    "fifo": ("fifo", [1, 2, 3]),
    "fifo_async": ("fifo", [1, 2]),
    "fifo_context_manager": ("fifo", [1, 2, 3]),
    "fifo_skip_group_on_error": ("fifo", [1, 2]),
    "kafka": ("kafka", [1]),
    "kinesis": ("kinesis", [1]),
    "kinesis_context_manager": ("kinesis", [1]),
    "lambda_context": ("sqs", [1]),
    "lambda_context_manager": ("sqs", [1]),
    "metrics": ("sqs", [1]),
    "parser_models": ("sqs", [1]),
    "processed_messages": ("sqs", [1]),
    "pydantic_dynamodb": ("dynamodb", [1]),
    "pydantic_kafka": ("kafka", [1]),
    "pydantic_kinesis": ("kinesis", [1]),
    "pydantic_sqs": ("sqs", [1]),
    "sentry": ("sqs", [1]),
    "side_by_side": ("sqs", [1]),
    "sqs": ("sqs", [1]),
    "sqs_context_manager": ("sqs", [1]),
    "streams_stop_on_failure": ("kinesis", [1]),
    "unit_test_app": ("sqs", [1]),
}
OURS_ALONE = {"fifo_async", "streams_stop_on_failure"}  # what Powertools does not have
SERVICES = {"idempotent", "own_processor", "partial_sqs"}  # call AWS: see below
OTHERS = {"decorators", "unit_test"}  # see below


def event_of(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EXAMPLES / "events" / f"{name}.json").read_text())
    return event


def identifiers(event: dict[str, Any]) -> list[Any]:
    """Every record's identifier, read without the package."""
    if "records" in event:
        return [
            {"partition": partition, "offset": raw["offset"]}
            for partition, log in event["records"].items()
            for raw in log
        ]
    part = {"aws:sqs": "messageId", "aws:kinesis": "kinesis", "aws:dynamodb": "dynamodb"}
    found = [raw[part[raw["eventSource"]]] for raw in event["Records"]]
    return [
        each if isinstance(each, str) else each.get("sequenceNumber", each.get("SequenceNumber"))
        for each in found
    ]


def reply(event: dict[str, Any], positions: list[int]) -> dict[str, Any]:
    names = identifiers(event)
    return {"batchItemFailures": [{"itemIdentifier": names[position]} for position in positions]}


@pytest.fixture
def load(
    example: Load, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Load]:
    """Import an example as it is, or with the one import changed back."""
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "1")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"service-{uuid.uuid4().hex}")  # loggers are kept by name
    theirs = getattr(request, "param", "asyncbatch") == "Powertools"
    loop = asyncio.new_event_loop()  # Powertools wants a current one, and never closes its own
    asyncio.set_event_loop(loop)

    def changed_back(name: str) -> ModuleType:
        text = (EXAMPLES / f"{name}.py").read_text()
        text = text.replace("from asyncbatch.powertools", "from aws_lambda_powertools.utilities.batch")
        text = text.replace("from asyncbatch.models", "from aws_lambda_powertools.utilities.parser.models")
        assert "asyncbatch." not in text.split('"""', 2)[2]
        (tmp_path / f"{name}.py").write_text(text)
        spec = importlib.util.spec_from_file_location(f"theirs_{name}", tmp_path / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield changed_back if theirs else lambda name: example(f"powertools/{name}")
    asyncio.set_event_loop(None)
    loop.close()
    asyncbatch.shutdown()


BOTH = pytest.mark.parametrize("load", ["asyncbatch", "Powertools"], indirect=True)


def test_no_example_is_left_out() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == RUNS.keys() | SERVICES | OTHERS


@pytest.mark.parametrize("name", RUNS)
def test_a_function_reports_what_it_refused(load: Load, name: str) -> None:
    source, failing = RUNS[name]
    event = event_of(source)
    function = load(name)
    for _ in range(2):  # warm: nothing of the first invocation is in the second
        assert function.lambda_handler(event_of(source), LambdaContext()) == reply(event, failing)


def test_a_client_per_loop_is_usable_when_the_loop_was_replaced(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def does_not_end(record: Any) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    function = load("client_per_loop")
    assert function.lambda_handler(event_of("sqs"), LambdaContext()) == reply(event_of("sqs"), [1])
    with monkeypatch.context() as patched, pytest.raises(BatchProcessingError):
        patched.setattr(function, "record_handler", does_not_end)
        function.lambda_handler(event_of("sqs"), LambdaContext(0.4))
    assert "the event loop is replaced" in caplog.text
    for _ in range(2):
        assert function.lambda_handler(event_of("sqs"), LambdaContext()) == reply(event_of("sqs"), [1])
    assert len(function.shipping) == 1


@pytest.mark.parametrize("load", ["Powertools"], indirect=True)
@pytest.mark.parametrize("name", sorted(RUNS.keys() - OURS_ALONE))
def test_with_the_import_changed_back_powertools_says_the_same(load: Load, name: str) -> None:
    source, failing = RUNS[name]
    event = event_of(source)
    assert load(name).lambda_handler(event, LambdaContext()) == reply(event, failing)


@BOTH
@pytest.mark.filterwarnings("ignore:The `(async_)?batch_processor` decorator is deprecated")
@pytest.mark.parametrize("source", ["sqs", "kinesis", "dynamodb"])
@pytest.mark.parametrize("suffix", ["", "_async"])
def test_decorators(load: Load, source: str, suffix: str) -> None:
    event = event_of(source)
    handler = getattr(load("decorators"), f"{source}_handler{suffix}")
    assert handler(event, LambdaContext()) == reply(event, [1])


@BOTH
def test_an_entire_batch_failure_raises_or_not_as_it_was_said(load: Load) -> None:
    bad = sqs_event([{"order": "o-1", "amount": 198}, {"order": "o-2", "amount": 500}])
    assert load("entire_batch_failure").lambda_handler(bad, LambdaContext()) == reply(bad, [0, 1])
    with pytest.raises(Exception, match=r"All records failed processing\. 2 individual errors") as caught:
        load("sqs").lambda_handler(bad, LambdaContext())
    assert type(caught.value).__name__ == BatchProcessingError.__name__


@BOTH
def test_metrics_count(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load("metrics").lambda_handler(event_of("sqs"), LambdaContext())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    counted = [line for line in lines if "OrdersShipped" in line]
    assert [(line["OrdersShipped"], line["OrdersRefused"]) for line in counted] == [([1.0], [1.0])]


@BOTH
def test_processed_messages_are_logged(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    event = event_of("sqs")
    load("processed_messages").lambda_handler(event, LambdaContext())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    causes = ["o-1", "ValueError: the amount is above the credit limit"]
    assert [line["message"] for line in lines] == ["success", "fail"]
    assert [line["message_id"] for line in lines] == identifiers(event)
    assert lines[0]["cause"] == causes[0]
    assert causes[1].split(": ")[1] in lines[1]["cause"]


@BOTH
def test_failures_are_logged_with_their_traceback(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load("error_handling").lambda_handler(event_of("sqs"), LambdaContext())
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["level"] == "WARNING"
    assert line["message"] == "Record processing exception; skipping this record"
    assert line["exception_name"] == "CreditLimitError"
    assert "in record_handler" in line["exception"]


class Collecting(Transport):
    """What would be sent to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent.append(envelope.get_event())


@BOTH
def test_sentry_gets_each_failure(load: Load) -> None:
    transport = Collecting()
    with sentry_sdk.isolation_scope():
        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=transport, default_integrations=False)
        try:
            load("sentry").lambda_handler(event_of("sqs"), LambdaContext())
        finally:
            sentry_sdk.init()
    (seen,) = [event["exception"]["values"][-1] for event in transport.sent]
    assert (seen["type"], seen["value"]) == ("ValueError", "the amount is above the credit limit")
    assert seen["stacktrace"]["frames"][-1]["function"] == "record_handler"


def test_the_unit_test_passes_and_sees_a_defect(tmp_path: Path) -> None:
    """The example is a test: it passes, and it fails where the function forgets the limit."""
    for name in ("unit_test.py", "unit_test_app.py", "events/sqs.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((EXAMPLES / name).read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "unit_test.py"]
    environment = os.environ | {"POWERTOOLS_TRACE_DISABLED": "1"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    good = run()
    assert good.returncode == 0, good.stdout
    app = tmp_path / "unit_test_app.py"
    app.write_text(app.read_text().replace("> 197", "> 1970"))
    bad = run()
    assert bad.returncode == 1
    assert "1 failed" in bad.stdout


TRACED = f"""
import json, sys
from aws_xray_sdk.core import xray_recorder
from asyncbatch.testing import LambdaContext
sent = []
xray_recorder.emitter.send_entity = sent.append
sys.path.insert(0, {str(EXAMPLES)!r})
module = __import__(sys.argv[1])
module.lambda_handler(json.loads(sys.argv[2]), LambdaContext())
print(json.dumps([[each.name, [*each.metadata.get("orders", [])]] for each in sent]))
"""


def test_traces_hold_responses_or_not_as_it_was_said() -> None:
    """With X-Ray's own SDK, in a process of its own: Powertools cannot enable a tracer again."""
    environment = os.environ | {
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_TASK_ROOT": "/var/task",
        "POWERTOOLS_SERVICE_NAME": "orders",
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    }

    def trace(name: str) -> Any:
        command = [sys.executable, "-c", TRACED, name, json.dumps(event_of("sqs"))]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    assert trace("disable_tracing") == [
        ["## disable_tracing.record_handler", []],
        ["## disable_tracing.record_handler", ["disable_tracing.record_handler error"]],
        ["## lambda_handler", []],
    ]
    assert trace("sqs") == [
        ["## sqs.record_handler", []],
        ["## sqs.record_handler", ["sqs.record_handler error"]],
        ["## lambda_handler", ["lambda_handler response"]],
    ]


# --- with AWS's services ------------------------------------------------------------------------------


@pytest.fixture
def table(
    aws_on_ministack: str, sam_template: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Any]]:
    """Make the table that a SAM template describes, under a name of its own."""
    made: list[Any] = []

    def make(template: str) -> Any:
        described = sam_template(template).only("AWS::DynamoDB::Table")
        wanted = {name: described[name] for name in ("KeySchema", "AttributeDefinitions", "BillingMode")}
        monkeypatch.setenv("TABLE_NAME", f"table-{uuid.uuid4().hex}")
        made.append(boto3.resource("dynamodb").create_table(TableName=os.environ["TABLE_NAME"], **wanted))
        return made[-1]

    yield make
    for each in made:
        each.delete()


def test_an_own_processor_writes_its_results_to_dynamodb(load: Load, table: Callable[[str], Any]) -> None:
    results = table("own_processor_table")
    event = sqs_event(["a", "bb", "ccc"] * 10)
    names = identifiers(event)
    event["Records"][4]["body"] = ""
    function = load("own_processor")
    assert function.lambda_handler(event, LambdaContext()) == reply(event, [4])
    stored = {item["messageId"]: item["length"] for item in results.scan()["Items"]}
    assert stored == {
        name: len(raw["body"]) for name, raw in zip(names, event["Records"], strict=True) if raw["body"]
    }
    assert len(stored) == 29
    assert function.lambda_handler(sqs_event(["again"], seed=1), LambdaContext()) == reply(
        {"Records": []}, []
    )
    assert len(results.scan()["Items"]) == 30


@BOTH
def test_an_idempotent_record_is_processed_once(load: Load, table: Callable[[str], Any]) -> None:
    entries = table("idempotency_table")
    event = event_of("sqs")
    function = load("idempotent")
    assert function.lambda_handler(event, LambdaContext()) == reply(event, [1])
    (kept,) = entries.scan()["Items"]
    assert kept["status"] == "COMPLETED"
    assert json.loads(kept["data"]) == {"shipped": "o-1"}
    event["Records"][0]["body"] = "no JSON: it would fail if it were processed again"
    assert function.lambda_handler(event, LambdaContext()) == reply(event, [1])


class Queue:
    """A queue with messages, and its records as Lambda would deliver them."""

    def __init__(self, *bodies: str) -> None:
        self.client: Any = boto3.client("sqs")
        name = f"orders-{uuid.uuid4().hex}"
        self.url = self.client.create_queue(QueueName=name)["QueueUrl"]
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        messages = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)["Messages"]
        self.event = {
            "Records": [
                {
                    "messageId": each["MessageId"],
                    "receiptHandle": each["ReceiptHandle"],
                    "body": each["Body"].strip("-"),
                    "attributes": {},
                    "messageAttributes": {},
                    "eventSource": "aws:sqs",
                    "eventSourceARN": found["Attributes"]["QueueArn"],
                    "awsRegion": "eu-west-1",
                }
                for each in messages
            ]
        }

    @property
    def in_flight(self) -> int:
        name = "ApproximateNumberOfMessagesNotVisible"
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(found["Attributes"][name])


@pytest.mark.filterwarnings("ignore:The sqs_batch_processor decorator and PartialSQSProcessor:UserWarning")
@pytest.mark.filterwarnings("ignore:The `batch_processor` decorator is deprecated")
@pytest.mark.usefixtures("aws_on_ministack")
@pytest.mark.parametrize("entry", ["context_manager_handler", "decorated_handler", "lambda_handler"])
def test_the_historic_processor_deletes_what_succeeded(load: Load, entry: str) -> None:
    handler = getattr(load("partial_sqs"), entry)
    queue = Queue("a", "-", "b", "c")  # the second is empty when it is stripped
    with pytest.raises(SQSBatchProcessingError, match="Not all records processed successfully"):
        handler(queue.event, LambdaContext())
    assert queue.in_flight == 1
    good = Queue("a", "b")
    assert handler(good.event, LambdaContext()) in (2, {"statusCode": 200})
    assert good.in_flight == 2  # Lambda deletes a batch whose invocation succeeds
