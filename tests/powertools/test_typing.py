"""`tests/typing/powertools.py`, which type checkers read, is code for Powertools: it checks there too."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = (Path(__file__).parents[1] / "typing" / "powertools.py").read_text()


def check(text, folder):
    (folder / "code.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--no-incremental", "code.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.fixture
def changed_back():
    peers, heading, _ = CODE.partition("# --- what Powertools does not have")
    assert heading
    return peers.replace("from asyncbatch.powertools", "from aws_lambda_powertools.utilities.batch")


@pytest.mark.timeout(180)  # mypy reads both libraries
def test_it_checks_with_the_import_changed_back(changed_back, tmp_path):
    assert "asyncbatch." not in changed_back
    assert check(changed_back, tmp_path) == "Success: no issues found in 1 source file\n"


@pytest.mark.timeout(180)
def test_mistakes_are_found_in_both(changed_back, tmp_path):
    mistake = """
BatchProcessor(event_type='SQS').failure_handler()
BatchProcessor(event_type=EventType.SQS, model=Order)  # it names no record
SqsFifoPartialProcessor(model=KafkaRecordModel)
async_process_partial_response({}, sqs_async, processor)  # which runs no records side by side
"""
    mistake = "from aws_lambda_powertools.utilities.parser.models import KafkaRecordModel\n" + mistake
    for text in (CODE, changed_back):
        found = check(text + mistake, tmp_path)
        assert "[arg-type]" in found
        assert "[call-arg]" in found
        assert "Found 5 errors in 1 file" in found
