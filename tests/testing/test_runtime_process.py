"""The execution environment under AWS's own runtime client, with a plain function."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncbatch.testing import RuntimeProcess, RuntimeProcessError

FUNCTIONS = Path(__file__).parent / "functions"


@pytest.fixture
def runtime() -> Iterator[RuntimeProcess]:
    environment = {"GREETING": "hello"}
    with RuntimeProcess("plain.handler", path=FUNCTIONS, environment=environment) as process:
        yield process


def state_of(pid: int) -> str:
    """The kernel's letter for a process: T stopped, Z ended and not yet collected; "" for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return ""


def test_a_reply_and_what_the_function_is_told(runtime: RuntimeProcess) -> None:
    result = runtime.invoke({}, timeout=5.0)
    assert result.replied
    assert 4000 < result.payload["remaining"] <= 5000
    assert result.payload["request_id"] == result.request_id
    assert result.payload["function"] == "test"
    assert result.payload["arn"].endswith(":function:test")
    assert result.payload["greeting"] == "hello"
    assert result.payload["pid"] == runtime.pid
    assert runtime.stdout == "invocation 1\n"


def test_one_process_takes_several_events(runtime: RuntimeProcess) -> None:
    assert [runtime.invoke({}).payload["invocations"] for _ in range(3)] == [1, 2, 3]


def test_an_error_is_a_reply_of_its_kind(runtime: RuntimeProcess) -> None:
    result = runtime.invoke({"do": "raise"})
    assert not result.replied
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("ValueError", "no such order")
    assert "plain.py" in result.error.stack_trace[0]
    assert runtime.invoke({}).payload["invocations"] == 2


def test_a_reply_that_is_no_json(runtime: RuntimeProcess) -> None:
    assert runtime.invoke({"do": "bytes"}).payload == b"\xff\x00"


def test_the_end_of_the_process_is_a_result(runtime: RuntimeProcess) -> None:
    first = runtime.pid
    result = runtime.invoke({"do": "exit", "code": 7})
    assert (result.replied, result.timed_out, result.exit_code) == (False, False, 7)
    assert result.payload is None
    assert runtime.invoke({}).payload["invocations"] == 1
    assert runtime.pid != first


def test_a_missed_deadline_ends_the_process(runtime: RuntimeProcess) -> None:
    first = runtime.pid
    result = runtime.invoke({"do": "sleep", "seconds": 60}, timeout=0.2)
    assert (result.replied, result.timed_out, result.exit_code) == (False, True, -9)
    assert result.duration < 10.0
    assert state_of(first) in {"", "Z"}
    assert runtime.invoke({}).payload["invocations"] == 1


def test_a_frozen_process_stands_still_and_goes_on(runtime: RuntimeProcess) -> None:
    before = runtime.invoke({}).payload
    runtime.freeze()
    assert state_of(runtime.pid) == "T"
    time.sleep(0.3)
    after = runtime.invoke({}).payload
    assert (after["pid"], after["invocations"]) == (before["pid"], 2)
    assert after["monotonic"] - before["monotonic"] > 0.3  # as in Lambda, the clock runs on


def test_only_an_idle_process_is_frozen(runtime: RuntimeProcess) -> None:
    invocation = runtime.submit({"do": "exit", "code": 0})
    assert runtime.wait(invocation).exit_code == 0
    with pytest.raises(RuntimeProcessError, match="only an idle runtime is frozen"):
        runtime.freeze()


def test_sigterm_ends_a_process_without_a_handler_of_it(runtime: RuntimeProcess) -> None:
    assert runtime.terminate() == -15


def test_forked_workers_work_at_the_same_time() -> None:
    with RuntimeProcess("plain.handler", path=FUNCTIONS, concurrency=3) as runtime:
        event = {"do": "sleep", "seconds": 0.2}
        results = [runtime.wait(each) for each in [runtime.submit(event) for _ in range(3)]]
        pids = {result.payload["pid"] for result in results}
        assert len(pids) == 3
        assert runtime.pid not in pids
        runtime.freeze()
        assert runtime.invoke({}).payload["pid"] in pids

        lost = runtime.invoke({"do": "exit", "code": 5})
        assert (lost.replied, lost.exit_code) == (False, -1)
        assert runtime.invoke({}).payload["pid"] in pids  # the others live on
        missed = runtime.invoke({"do": "sleep", "seconds": 60}, timeout=0.2)
        assert missed.timed_out
    assert {state_of(pid) for pid in pids} <= {"", "Z"}


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        ("missing.handler", r"ended with 1; Runtime.ImportModuleError: .*'missing'"),
        ("plain.missing", r"ended with 1; Runtime.HandlerNotFound: .*'missing'"),
    ],
)
def test_a_function_that_cannot_start_says_why(handler: str, problem: str) -> None:
    with pytest.raises(RuntimeProcessError, match=problem), RuntimeProcess(handler, path=FUNCTIONS):
        pass


def test_it_is_started_by_a_with_statement() -> None:
    with pytest.raises(RuntimeProcessError, match="use it in a with statement"):
        RuntimeProcess("plain.handler", path=FUNCTIONS).terminate()
