"""Event files and options: every mistake is told with its file and line."""

from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.parametrize(
    ("content", "lesson"),
    [
        (b"", "event.json holds no event. Try: asyncbatch sample sqs > event.json"),
        (b" \n\n", "event.json holds no event"),
        (b"{'a': 1}", "line 1 is not JSON"),
        (b'{"a": 1,\n "b" 2}', "starts in line 1 is not JSON: Expecting ':' delimiter (line 2,"),
        (b'{"a": 1}\n\n{"a": \n', "starts in line 3 is not JSON: Expecting value (line 4,"),
        (b'{"a": 1}\n{"a": 2} oops', "starts in line 2 is not JSON: Expecting value (line 2,"),
        (b"\xff\xfe{", "event.json is not UTF-8 text (byte 0)"),
        (b"[" * 200_000, "line 1 is nested too deep"),
    ],
)
def test_a_file_without_a_readable_event_is_2_and_teaches(
    run: Run, folder: Path, content: bytes, lesson: str
) -> None:
    (folder / "event.json").write_bytes(content)
    result = run("invoke", "app:echo", "--event", "event.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert lesson in result.stderr


@pytest.mark.parametrize(
    ("path", "lesson"),
    [
        ("nothing.json", "nothing.json cannot be read: No such file"),
        (".", ". cannot be read: Is a"),
    ],
)
def test_a_file_that_cannot_be_opened_is_2(run: Run, path: str, lesson: str) -> None:
    result = run("invoke", "app:echo", "--event", path)
    assert result.exit_code == 2
    assert lesson in result.stderr


def test_nothing_is_called_if_any_file_is_bad(run: Run, folder: Path) -> None:
    (folder / "good.json").write_text("{}")
    result = run("invoke", "app:echo", "--event", "good.json", "--event", "nothing.json")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_byte_order_mark_is_no_obstacle(run: Run, folder: Path) -> None:
    (folder / "event.json").write_text('{"n": 1}', encoding="utf-8-sig")
    assert run("invoke", "app:echo", "--event", "event.json").stdout == '{"n": 1}\n'


@pytest.mark.parametrize(
    ("options", "lesson"),
    [
        ([], "Say which event, one way: --event FILE, or --sample SOURCE"),
        (["--sample", "sqs", "--event", "-"], "Say which event, one way: --event FILE, or --sample SOURCE"),
        (["--event", "-", "-n", "5"], "-n, --keys and --seed shape a --sample"),
        (["--sample", "sns"], "'sns' is not one of 'sqs', 'sqs-fifo', 'kinesis'"),
        (["--sample", "sqs", "-n", "-1"], "-1 is not in the range"),
        (["--sample", "sqs", "--keys", "0"], "0 is not in the range"),
        (["--sample", "sqs", "--timeout", "0"], "0.0 is not in the range"),
        (["--sample", "sqs", "--events", "x"], "No such option"),
    ],
)
def test_options_that_do_not_fit_are_2(run: Run, options: list[str], lesson: str) -> None:
    result = run("invoke", "app:echo", *options, stdin="{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert lesson in result.stderr
