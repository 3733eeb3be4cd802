"""Batch handlers under AWS's Runtime Interface Emulator, which takes one request at a time."""

import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from asyncbatch.testing import RuntimeEmulator, RuntimeProcessError, sqs_event

FUNCTIONS = Path(__file__).parent / "functions"
BINARIES = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}
NOTE = {"do": "note"}
Emulate = Callable[..., RuntimeEmulator]


@pytest.fixture
def emulate(sam_venv: Path) -> Iterator[Emulate]:
    name = BINARIES[platform.machine()]
    (binary,) = sam_venv.glob(f"lib/python*/site-packages/samcli/local/rapid/{name}")
    with ExitStack() as exits:

        def start(handler: str, **options: Any) -> RuntimeEmulator:
            options = {"binary": binary, "path": FUNCTIONS, **options}
            return exits.enter_context(RuntimeEmulator(handler, **options))

        yield start


def test_several_requests_and_a_failure(emulate: Emulate) -> None:
    function = emulate("behaviour.lambda_handler")
    for seed in range(3):
        result = function.invoke(sqs_event([NOTE, NOTE], seed=seed))
        assert (result.failed, result.payload) == (False, {"batchItemFailures": []})
    event = sqs_event([NOTE, {"do": "raise", "error": "Odd"}, NOTE], seed=3)
    result = function.invoke(event)
    failed = event["Records"][1]["messageId"]
    assert result.payload == {"batchItemFailures": [{"itemIdentifier": failed}]}
    loops = [line for line in function.log.splitlines() if line.startswith('{"loop"')]
    assert len(loops) == 8
    assert all('"loop": 1,' in line for line in loops)  # one process, one loop


@pytest.mark.parametrize(
    ("entry", "deed"),
    [("lambda_handler", "sleep"), ("lambda_handler", "swallow"), ("guarded", "block")],
)
def test_the_reply_is_on_time(emulate: Emulate, entry: str, deed: str) -> None:
    function = emulate(f"behaviour.{entry}", timeout=1)
    assert function.invoke(sqs_event([NOTE])).payload == {"batchItemFailures": []}
    event = sqs_event([NOTE, {"do": deed}], seed=1)
    result = function.invoke(event)
    assert not result.failed, result
    assert {"itemIdentifier": event["Records"][1]["messageId"]} in result.payload["batchItemFailures"]
    assert function.invoke(sqs_event([NOTE], seed=2)).payload == {"batchItemFailures": []}


def test_a_missed_deadline_is_seen(emulate: Emulate) -> None:
    function = emulate("behaviour.lambda_handler", timeout=1)
    result = function.invoke(sqs_event([{"do": "block"}]))
    assert result.failed
    assert "timed out" in result.payload
    assert function.invoke(sqs_event([NOTE])).payload == {"batchItemFailures": []}


def test_an_error_is_seen(emulate: Emulate) -> None:
    result = emulate("behaviour.lambda_handler").invoke({"Records": 1})
    assert result.failed
    assert result.payload["errorType"] == "InvalidEventError"


def test_a_function_that_cannot_start_is_seen(emulate: Emulate) -> None:
    result = emulate("missing.lambda_handler").invoke({})
    assert (result.failed, result.status) == (True, 502)
    assert result.payload["errorType"] == "Runtime.ImportModuleError"


def test_a_program_that_is_no_emulator(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeProcessError, match="the emulator does not listen"),
        RuntimeEmulator("a.b", binary=Path("/bin/false"), path=tmp_path),
    ):
        pass
