"""`asyncbatch invoke`: exit codes, what goes where, one process for several events."""

import json
import logging
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import EventSource
from asyncbatch.testing import sample_event

from .conftest import Run

SUCCESS = {"batchItemFailures": []}


def sqs_event(*orders: str) -> dict[str, Any]:
    """An event of these orders; their item identifiers are `m-0`, `m-1`, ..."""
    event = sample_event(EventSource.SQS, len(orders))
    for number, (record, order) in enumerate(zip(event["Records"], orders, strict=True)):
        record["messageId"] = f"m-{number}"
        record["body"] = json.dumps({"order": order})
    return event


def write(path: str, *events: object) -> str:
    Path(path).write_text("\n".join(json.dumps(event) for event in events))
    return path


class TestExitCodes:
    def test_all_succeeded_is_0(self, run: Run) -> None:
        result = run("invoke", "app:good", "--sample", "sqs", "-n", "3")
        assert (result.exit_code, json.loads(result.stdout)) == (0, SUCCESS)

    def test_some_did_not_succeed_is_1_and_the_reply_names_them(self, run: Run) -> None:
        file = write("event.json", sqs_event("good", "bad", "good"))
        result = run("invoke", "app:picky", "--event", file)
        assert result.exit_code == 1
        assert json.loads(result.stdout) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}

    def test_a_plain_handler_whose_reply_names_a_record_is_1(self, run: Run) -> None:
        result = run("invoke", "app:names_one", "--sample", "sqs")
        assert result.exit_code == 1

    @pytest.mark.parametrize(
        ("handler", "kind"),
        [
            ("raises", "LookupError: no table"),
            ("exits", "SystemExit: 4"),
            ("replies_a_set", "UnserialisableReplyError"),
            ("replies_a_coroutine", "Object of type coroutine is not JSON"),
            ("strict", "FailedBatchError"),
        ],
    )
    def test_a_failed_invocation_is_3_and_has_no_reply(self, run: Run, handler: str, kind: str) -> None:
        result = run("invoke", f"app:{handler}", "--sample", "sqs", "--quiet")
        assert (result.exit_code, result.stdout) == (3, "")
        assert kind in result.stderr

    @pytest.mark.parametrize("event", [{"Records": None}, {}, [], "text", 5])
    def test_an_event_that_is_no_batch_fails_the_invocation(self, run: Run, event: object) -> None:
        result = run("invoke", "app:good", "--event", write("event.json", event))
        assert (result.exit_code, result.stdout) == (3, "")
        assert "InvalidEventError" in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_missed_deadline_is_3_and_said_loudly(self, run: Run) -> None:
        result = run("invoke", "app:late", "--sample", "sqs", "--timeout", "0.01", "--quiet")
        assert (result.exit_code, result.stdout) == (3, "")
        assert "Lambda's deadline was 0.01 s" in result.stderr

    def test_the_worst_of_several_invocations_counts(self, run: Run) -> None:
        files = [
            write("good.json", sqs_event("good")),
            write("no-batch.json", {}),
            write("bad.json", sqs_event("bad")),
        ]
        result = run("invoke", "app:picky", *(part for f in files for part in ("--event", f)))
        assert result.exit_code == 3
        assert [len(json.loads(line)["batchItemFailures"]) for line in result.stdout.splitlines()] == [0, 1]

    def test_the_help_documents_them(self, run: Run) -> None:
        text = run("invoke", "--help").stdout
        for code in "0123":
            assert f"\n    {code}  " in text


class TestStreams:
    def test_standard_output_has_the_response_alone(self, run: Run) -> None:
        result = run("invoke", "app:good", "--sample", "sqs", "-n", "2")
        assert result.stdout == '{"batchItemFailures": []}\n'
        assert result.stderr.count("a handler that prints") == 2

    def test_no_reply_is_null_and_what_that_means_is_said(self, run: Run) -> None:
        result = run("invoke", "app:silent", "--sample", "sqs")
        assert (result.exit_code, result.stdout) == (0, "null\n")
        assert "which AWS takes as success" in result.stderr

    def test_the_table_counts_outcomes_and_shows_the_first_failures(self, run: Run) -> None:
        file = write("event.json", sqs_event("good", *["bad"] * 7))
        lines = run("invoke", "app:picky", "--event", file).stderr.splitlines()
        cells = [line.split() for line in lines]
        assert ["succeeded", "1"] in cells
        assert ["failed", "raised", "7"] in cells
        assert "  failures (5 of 7)" in lines
        assert "  position 1, m-1" in lines
        assert any("ValueError: no such order" in line and "app.py:" in line for line in lines)

    def test_quiet_says_nothing_beside_the_response(self, run: Run) -> None:
        file = write("event.json", sqs_event("bad"))
        result = run("invoke", "app:picky", "--event", file, "--quiet")
        assert result.exit_code == 1
        assert "position" not in result.stderr
        assert "·" not in result.stderr

    def test_a_decimal_is_a_number_as_in_lambdas_runtime(self, run: Run) -> None:
        assert run("invoke", "app:replies_a_decimal", "--sample", "sqs").stdout == '{"total": 1.5}\n'

    def test_a_streams_checkpoint_is_told(self, run: Run) -> None:
        event = sample_event(EventSource.KINESIS, 3, keys=1)
        kinesis = event["Records"][1]["kinesis"]
        kinesis["data"] = b64encode(b'{"order": "bad"}').decode()
        told = run("invoke", "app:picky", "--event", write("event.json", event)).stderr
        assert f"3 records  ·  1 partition key  ·  checkpoint {kinesis['sequenceNumber']}" in told

    def test_a_plain_handler_is_called_with_a_context_whose_time_runs(self, run: Run) -> None:
        result = run("invoke", "app:plain", "--sample", "sqs")
        assert json.loads(result.stdout) == {"batchItemFailures": [], "left": True}


def configured(monkeypatch: pytest.MonkeyPatch, *handlers: logging.Handler) -> list[logging.Handler]:
    """Give the package's logger these handlers alone: pytest has its own, as a target might."""
    logger = logging.getLogger("asyncbatch")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", list(handlers))
    return logger.handlers


class TestNotices:
    def test_the_packages_warnings_are_shown(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        handlers = configured(monkeypatch)
        assert "     a notice\n" in run("invoke", "app:warns", "--sample", "sqs").stderr
        assert handlers == []

    def test_but_not_where_the_target_configured_logging(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configured(monkeypatch, logging.NullHandler())
        assert "a notice" not in run("invoke", "app:warns", "--sample", "sqs").stderr

    def test_the_reports_summary_is_not_told_beside_the_table(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configured(monkeypatch)
        file = write("event.json", sqs_event("good", "bad"))
        told = run("invoke", "app:picky", "--event", file).stderr
        assert told.count("ValueError: no such order") == 1


class TestJson:
    def test_outcomes_are_told_in_input_order(self, run: Run) -> None:
        file = write("event.json", sqs_event("good", "bad"))
        result = run("invoke", "app:picky", "--event", file, "--json")
        told = json.loads(result.stdout)
        assert told["response"] == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
        assert told["error"] is None
        assert told["counts"] == {"succeeded": 1, "failed": 1, "skipped": 0}
        first, second = told["outcomes"]
        assert (first["position"], first["id"], first["outcome"]) == (0, "m-0", "succeeded")
        assert (first["reason"], first["message"]) == (None, None)
        assert (second["id"], second["outcome"], second["reason"]) == ("m-1", "failed", "raised")
        assert 0 == first["started"] <= first["ended"] < 30

    def test_skipped_records_have_no_times(self, run: Run) -> None:
        event = sample_event(EventSource.SQS_FIFO, 3, keys=1)
        event["Records"][0]["body"] = '{"order": "bad"}'
        result = run("invoke", "app:picky", "--event", write("event.json", event), "--json")
        last = json.loads(result.stdout)["outcomes"][-1]
        assert (last["outcome"], last["reason"]) == ("skipped", "lane-halted")
        assert (last["started"], last["ended"]) == (None, None)

    def test_a_failed_invocation_has_its_error_and_what_was_known(self, run: Run) -> None:
        result = run("invoke", "app:strict", "--sample", "sqs", "-n", "2", "--json")
        told = json.loads(result.stdout)
        assert result.exit_code == 3
        assert told["response"] is None
        assert told["error"]["errorType"] == "FailedBatchError"
        assert told["counts"]["failed"] == 2

    def test_a_handler_of_another_kind_has_no_outcomes(self, run: Run) -> None:
        told = json.loads(run("invoke", "app:plain", "--sample", "sqs", "--json").stdout)
        assert (told["counts"], told["outcomes"]) == (None, None)

    def test_standard_error_has_nothing_but_errors(self, run: Run) -> None:
        assert run("invoke", "app:plain", "--sample", "sqs", "--json").stderr == ""
        assert "LookupError" in run("invoke", "app:raises", "--sample", "sqs", "--json").stderr


class TestSeveralEvents:
    def test_json_lines_are_one_invocation_a_line(self, run: Run) -> None:
        file = write("events.jsonl", sqs_event("good"), sqs_event("bad"))
        result = run("invoke", "app:picky", "--event", file)
        assert [json.loads(line) for line in result.stdout.splitlines()] == [
            SUCCESS,
            {"batchItemFailures": [{"itemIdentifier": "m-0"}]},
        ]
        assert "events.jsonl:2" in result.stderr

    def test_files_are_warm_starts_of_one_process(self, run: Run) -> None:
        file = write("event.json", sqs_event("good"))
        result = run("invoke", "app:counting", "--event", file, "--event", file)
        named = [len(json.loads(line)["batchItemFailures"]) for line in result.stdout.splitlines()]
        assert named == [0, 1]
        assert "record 2 of this process" in result.stderr

    def test_one_event_loop_and_one_lifespan_serve_them_all(self, run: Run, folder: Path) -> None:
        (folder / "app_lifespan.py").write_text(
            "import asyncio, contextlib\n"
            "from asyncbatch import batch_handler\n"
            "loops = set()\n"
            "@contextlib.asynccontextmanager\n"
            "async def lifespan():\n"
            "    print('opened')\n"
            "    yield 1\n"
            "    print('closed')\n"
            "@batch_handler(lifespan=lifespan)\n"
            "async def handler(record, state):\n"
            "    loops.add(asyncio.get_running_loop())\n"
            "    assert len(loops) == state\n"
        )
        file = write("event.json", *[sqs_event("good")] * 3)
        result = run("invoke", "app_lifespan:handler", "--event", file)
        assert result.exit_code == 0
        assert result.stderr.count("opened") == 1
        assert "closed" in result.stderr + result.stdout

    def test_dash_is_standard_input(self, run: Run) -> None:
        result = run("invoke", "app:echo", "--event", "-", stdin='{"n": 1}\n\n{"n":\n2}\n')
        assert result.stdout == '{"n": 1}\n{"n": 2}\n'
        assert "standard input:3" in result.stderr

    def test_the_same_seed_makes_the_same_event(self, run: Run) -> None:
        one, two = (
            run("invoke", "app:echo", "--sample", "kinesis", "--seed", "7", "-n", "3") for _ in range(2)
        )
        assert one.stdout == two.stdout != ""

    def test_a_function_that_never_returns_does_not_keep_the_command_from_ending(self, folder: Path) -> None:
        (folder / "app_blocks.py").write_text(
            "import threading\n"
            "from asyncbatch import batch_handler, threaded\n"
            "@batch_handler(record_timeout=0.1)\n"
            "@threaded\n"
            "def handler(record):\n"
            "    threading.Event().wait()\n"
        )
        command = [sys.executable, "-m", "asyncbatch", "invoke", "app_blocks:handler", "--sample", "sqs"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 1, done.stderr
        assert "took longer than record_timeout" in done.stdout + done.stderr
        assert "Fatal" not in done.stderr
