"""What `examples/powertools/README.md` says: its code runs, its names exist, its rows have tests."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities import batch as powertools

import asyncbatch
from asyncbatch import EventSource, FailureScope, Ordering, batch_handler
from asyncbatch import powertools as ours
from asyncbatch.powertools import AsyncBatchProcessor, EventType, SqsFifoPartialProcessor
from asyncbatch.testing import LambdaContext, kinesis_event, sqs_event, sqs_fifo_event

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "powertools"
TEXT = (FOLDER / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
HISTORIC = {"PartialSQSProcessor", "sqs_batch_processor"}


@pytest.fixture(autouse=True)
def _no_loop_is_left() -> Any:
    yield
    asyncbatch.shutdown()


def run(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "coming_from_powertools"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    return names


def test_the_first_example_is_a_lambda_function() -> None:
    lambda_handler = run(BLOCKS[0])["lambda_handler"]
    event = sqs_event([{"order": "o-1"}, "no JSON"])
    failed = event["Records"][1]["messageId"]
    assert lambda_handler(event, LambdaContext()) == {"batchItemFailures": [{"itemIdentifier": failed}]}


def test_so_it_is_for_powertools_with_the_line_of_the_diff_changed_back() -> None:
    old, new = re.findall(r"^[-+](from .*)$", TEXT, re.MULTILINE)
    assert BLOCKS[0].count(new) == 1
    lambda_handler = run(BLOCKS[0].replace(new, old))["lambda_handler"]
    event = sqs_event([{"order": "o-1"}, "no JSON"])
    failed = event["Records"][1]["messageId"]
    assert lambda_handler(event, LambdaContext()) == {"batchItemFailures": [{"itemIdentifier": failed}]}


def test_what_to_move_on_to_gives_the_same_reply() -> None:
    names = run(*BLOCKS)
    assert len(BLOCKS) == 2
    event = sqs_event([{"order": "o-1"}, "no JSON"])
    failed = event["Records"][1]["messageId"]
    reply = names["lambda_handler"](event, LambdaContext())
    assert reply == {"batchItemFailures": [{"itemIdentifier": failed}]}


async def refuse(record: Any) -> None:
    text = record.body if "body" in record else record.kinesis.data_as_text()
    if "bad" in text:
        raise ValueError("refused")


async def refuse_ours(record: Any) -> None:
    if "bad" in record.text:
        raise ValueError("refused")


@pytest.mark.parametrize("skip_group_on_error", [False, True])
def test_fifo_moves_on_as_the_table_says(skip_group_on_error: bool) -> None:  # noqa: FBT001 - a parameter
    event = sqs_fifo_event(["a", "bad", "b", "c"], groups=["x", "y", "y", "x"])
    processor = SqsFifoPartialProcessor(skip_group_on_error=skip_group_on_error)
    before = ours.async_process_partial_response(event, refuse, processor)
    options: dict[str, Any] = {"ordering": Ordering.SEQUENTIAL, "failure_scope": FailureScope.BATCH}
    after = batch_handler(**({} if skip_group_on_error else options))(refuse_ours)(event, None)
    assert after == before
    assert len(before["batchItemFailures"]) == (2 if skip_group_on_error else 3)


def test_streams_move_on_as_the_table_says() -> None:
    event = kinesis_event(["a", "bad", "b", "bad"], keys=["x", "y", "z", "x"])
    processor = AsyncBatchProcessor(EventType.KinesisDataStreams, stop_on_failure=True)
    before = ours.async_process_partial_response(event, refuse, processor)
    assert batch_handler(refuse_ours)(event, None) == before
    assert len(before["batchItemFailures"]) == 1


def test_a_total_failure_moves_on_as_the_table_says() -> None:
    event = sqs_event(["bad", "bad"])
    raising = batch_handler(raise_on_failure="entire_batch", source=EventSource.SQS)(refuse_ours)
    with pytest.raises(asyncbatch.FailedBatchError):
        raising(event, None)
    assert len(batch_handler(refuse_ours)(event, None)["batchItemFailures"]) == 2


def test_every_public_name_of_powertools_is_ours() -> None:
    assert set(ours.__all__) == set(powertools.__all__) | HISTORIC


@pytest.mark.parametrize("name", ["base", "exceptions", "types", "decorators", "sqs_fifo_partial_processor"])
def test_its_modules_are_there(name: str) -> None:
    assert f"`.{name}`" in TEXT or f"`.batch.{name}`" in TEXT
    theirs = importlib.import_module(f"aws_lambda_powertools.utilities.batch.{name}")
    here = importlib.import_module(f"asyncbatch.powertools.{name}")
    package = "aws_lambda_powertools.utilities.batch"
    defined = {
        key for key, value in vars(theirs).items() if getattr(value, "__module__", "") == f"{package}.{name}"
    }
    assert defined - {key for key in defined if key.startswith("_")} <= set(dir(here))


def test_every_difference_with_a_number_has_a_test() -> None:
    rows = re.findall(r"^\| (D\d+(?:, D\d+)*) \|", TEXT, re.MULTILINE)
    listed = {number for row in rows for number in row.split(", ")}
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "powertools").glob("test_*.py"))
    assert listed >= {f"D{position}" for position in range(1, 28)}
    for number in listed:
        assert re.search(rf"\b{number}\b", tests) or f"def test_{number.lower()}_" in tests, number


def test_every_file_is_listed() -> None:
    table = TEXT.split("## Files")[1]
    listed = set(re.findall(r"`([\w/]+\.(?:py|yaml))`", table))
    shortened = {path.name for path in FOLDER.glob("*_context_manager.py")}
    assert {path.name for path in FOLDER.glob("*.py")} - listed <= shortened
    for name in listed:
        assert (FOLDER / name).exists(), name
