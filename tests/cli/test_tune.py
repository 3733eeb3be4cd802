"""`asyncbatch tune`: what is written where, exit codes, and errors before anything ran."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from .conftest import Run

TUNED = """
    import asyncio
    import logging

    from asyncbatch import batch_handler
    from asyncbatch.testing import SimulatedBackend

    backend = SimulatedBackend(servers=4, service_time=0.002, seed=1)


    @batch_handler
    async def handler(record):
        print("printed by the handler")
        await backend.call()


    @batch_handler
    async def failing(record):
        raise LookupError("no table")


    @batch_handler
    async def interrupted(record):
        raise KeyboardInterrupt


    def plain(event, context):
        return None
"""
QUICK = ("--virtual-time", "--limits", "1,2,4,8", "--rounds", "2")


@pytest.fixture(autouse=True)
def tuned(folder: Path) -> Path:
    """A folder with handlers to tune."""
    file = folder / "app_tuned.py"
    file.write_text(dedent(TUNED))
    return file


class TestResults:
    @pytest.mark.parametrize("columns", ["80", "200"])
    def test_nothing_is_cut_off_on_any_terminal(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, columns: str
    ) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        result = run("tune", "app_tuned.py:handler", "--sample", "sqs", *QUICK)
        assert result.exit_code == 0
        assert "…" not in result.stdout
        assert ("memory" in result.stdout) == (columns == "200")

    def test_a_table_a_sentence_and_the_line_to_paste_are_on_standard_output(self, run: Run) -> None:
        result = run("tune", "app_tuned.py:handler", "--sample", "sqs", *QUICK)
        assert result.exit_code == 0
        assert "Use a limit of 4" in result.stdout
        assert "@batch_handler(concurrency=4)" in result.stdout
        assert "BatchSize" in result.stdout
        assert "AdaptiveLimit, cold" in result.stdout
        assert "printed by the handler" not in result.output

    def test_json_is_alone_on_standard_output(self, run: Run) -> None:
        result = run(
            "tune", "app_tuned:handler", "--sample", "kinesis", "--keys", "50", *QUICK, "--json", "-"
        )
        made = json.loads(result.stdout)
        assert result.exit_code == 0
        assert (made["format"], made["target"], made["source"]) == (
            "asyncbatch.tune/1",
            "app_tuned:handler",
            "kinesis",
        )
        assert made["recommendation"]["limit"] == 4
        assert made["lanes"]["lanes"] == 50
        assert set(made["details"]) == {"command", "date", "took", "machine", "versions"}
        assert "Use a limit of 4" in result.stderr

    def test_the_report_and_json_are_written_to_files(self, run: Run, folder: Path) -> None:
        event = run("sample", "sqs", "-n", "5").stdout
        (folder / "event.json").write_text(event)
        files = ("--html", "out/report.html", "--json", "figures.json")
        result = run("tune", "app_tuned.py:handler", "--event", "event.json", *QUICK, *files)
        assert result.exit_code == 0
        assert "Report: out/report.html" in result.stdout
        assert "app_tuned.py:handler: how many" in (folder / "out" / "report.html").read_text("utf-8")
        assert json.loads((folder / "figures.json").read_text("utf-8"))["current_limit"] == 100

    def test_measured_latencies_stand_in_for_a_handler(self, run: Run, folder: Path) -> None:
        (folder / "seconds.json").write_text('{"1": [0.1], "6": [0.1], "12": [0.2]}')
        result = run("tune", "--latencies", "seconds.json", "--rounds", "1")
        assert result.exit_code == 0
        assert "Use a limit of 6" in result.stdout
        assert "for real" not in result.stderr

    def test_a_real_run_says_so_before_it_starts(self, run: Run) -> None:
        options = (
            "--limits",
            "1,4",
            "--records",
            "30",
            "--rounds",
            "1",
            "--warm-up",
            "0",
            "--time-budget",
            "20",
        )
        result = run("tune", "app_tuned.py:handler", "--sample", "sqs", *options)
        assert result.exit_code == 0
        assert "Calling app_tuned.py:handler for real" in result.stderr

    def test_nothing_to_recommend_is_1_with_the_reason(self, run: Run) -> None:
        result = run("tune", "app_tuned.py:failing", "--sample", "sqs", *QUICK)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "No limit can be recommended." in result.stderr
        assert "LookupError: no table" in result.stderr

    def test_an_interrupt_is_130(self, run: Run) -> None:
        assert run("tune", "app_tuned.py:interrupted", "--sample", "sqs", *QUICK).exit_code == 130


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (("--sample", "sqs"), "Say what to tune, one way"),
            (("app_tuned:handler", "--latencies", "x", "--sample", "sqs"), "Say what to tune, one way"),
            (("app_tuned:handler",), "Say which event, one way"),
            (("app_tuned:handler", "--sample", "sqs", "--event", "x"), "Say which event, one way"),
            (("--latencies", "x", "--sample", "sqs", "--event", "x"), "two ways to one event"),
            (("app_tuned:handler", "--event", "x", "--keys", "3"), "--keys shapes a --sample"),
            (("app_tuned:handler", "--sample", "sqs", "--open"), "say where to write it"),
            (("app_tuned:handler", "--sample", "sqs", "--limits", "1,x"), "no list of whole numbers"),
            (("app_tuned:handler", "--sample", "sqs", "--limits", "0"), "no list of whole numbers"),
            (("app_tuned:nothing", "--sample", "sqs"), "has no 'nothing'"),
            (("app_tuned:plain", "--sample", "sqs"), "put @batch_handler on a function of one record"),
            (("app_tuned:handler", "--event", "none.json"), "none.json cannot be read"),
            (("--latencies", "none.txt"), "none.txt cannot be read"),
            (("--latencies", "app_tuned.py"), "is no number of seconds"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_before_anything_ran(self, run: Run, arguments: tuple[str, ...], problem: str) -> None:
        result = run("tune", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert problem in " ".join(result.stderr.split())
        assert "Traceback" not in result.output

    def test_an_event_without_records(self, run: Run, folder: Path) -> None:
        (folder / "empty.json").write_text('{"Records": []}')
        result = run("tune", "app_tuned:handler", "--event", "empty.json", *QUICK)
        assert result.exit_code == 2
        assert "no records to repeat" in result.stderr

    def test_a_file_that_cannot_be_written(self, run: Run, folder: Path) -> None:
        (folder / "taken").write_text("")
        result = run("tune", "app_tuned:handler", "--sample", "sqs", *QUICK, "--html", "taken/report.html")
        assert result.exit_code == 2
        assert "cannot be written" in result.stderr


@pytest.mark.parametrize("library", ["scipy", "plotly", "jinja2", "markdown_it"])
def test_a_missing_library_is_named_with_the_extra(folder: Path, library: str) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "sys.argv = ['asyncbatch', 'tune', 'app_tuned:handler', '--sample', 'sqs']\n"
        "from asyncbatch.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'pip install "asyncbatch[tune]"' in done.stderr
    assert library in done.stderr
    assert "Traceback" not in done.stderr


def test_the_other_commands_load_nothing_of_it() -> None:
    program = (
        "import sys, asyncbatch.cli._app\n"
        "print([name for name in ('scipy', 'numpy', 'plotly', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_recommends_its_known_knee(run: Run) -> None:
    example = Path(__file__).parents[2] / "examples" / "tuning.py"
    result = run("tune", str(example), "--sample", "sqs", "--virtual-time", "--json", "-")
    assert json.loads(result.stdout)["recommendation"]["limit"] == pytest.approx(20, rel=0.2)
