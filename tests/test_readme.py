"""The README's examples run as they stand."""

import asyncio
import re
from pathlib import Path

import pytest

from asyncbatch import BatchHandler
from asyncbatch.testing import LambdaContext, kinesis_event, sqs_event

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def handler(block: str) -> BatchHandler:
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    made = names["lambda_handler"]
    assert isinstance(made, BatchHandler)
    return made


def test_the_readme_has_the_examples_that_are_tested_here():
    assert len(BLOCKS) == 4


def test_the_first_example_is_a_lambda_function():
    lambda_handler = handler(BLOCKS[0])
    event = sqs_event([{"order": "o-1"}, "no JSON"])
    failed = event["Records"][1]["messageId"]
    assert lambda_handler(event, LambdaContext()) == {"batchItemFailures": [{"itemIdentifier": failed}]}
    assert asyncio.run(lambda_handler.process(event)).failures == [failed]


def test_the_test_that_the_readme_shows_passes():
    names: dict[str, object] = {"__name__": "readme"}
    for block in BLOCKS[:2]:
        exec(compile(block, "README.md", "exec"), names)
    names["test_a_bad_order_comes_back_alone"]()  # type: ignore[operator]  # it is a function


def test_the_simulated_queue_that_the_readme_shows_loses_nothing(sqs_mapping):
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(BLOCKS[3], "README.md", "exec"), names)
    names["test_no_order_is_lost"](sqs_mapping)  # type: ignore[operator]  # it is a function


def test_the_second_example_validates_and_injects():
    lambda_handler = handler(BLOCKS[2])
    event = kinesis_event([{"order": "o-1", "amount": 1}, {"order": "o-2"}], keys=["a", "b"])
    checkpoint = event["Records"][1]["kinesis"]["sequenceNumber"]
    report = lambda_handler.run(event, LambdaContext())
    assert report.checkpoint == checkpoint


@pytest.mark.parametrize("command", ["make demo", "make test", "make test-all", "make bench"])
def test_the_commands_that_the_readme_names_exist(command: str):
    makefile = (README.parent / "Makefile").read_text()
    assert command in README.read_text()
    assert f"\n{command.removeprefix('make ')}:" in makefile
