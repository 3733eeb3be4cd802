"""TARGET: every way to miss it is told with what to do."""

from pathlib import Path

import pytest

from .conftest import Run


@pytest.mark.parametrize(
    ("target", "lesson"),
    [
        ("nothing:handler", "There is no module 'nothing'."),
        ("app.plain", "Lambda writes module.function; here it is app:plain"),
        ("nothing.py:handler", "There is no file nothing.py"),
        (":plain", "Write module:function or path/file.py:function"),
        ("app:", "Write module:function or path/file.py:function"),
        ("app:plane", "Did you mean 'plain'?"),
        ("app:xyzzyx", "It has: good, picky"),
        ("app", "app has no 'lambda_handler'"),
        ("app:plain.inner", "app has no 'plain.inner'"),
        ("app:number", "app:number is of type int, and Lambda needs something it can call"),
        ("app:coroutine", "is an async function. Lambda cannot run one"),
        ("app_needs:handler", "app_needs imports 'not_there', which is not installed"),
        ("app_needs.py:handler", "app_needs.py imports 'not_there', which is not installed"),
        ("app_breaks.py:handler", "ZeroDivisionError: division by zero"),
        ("app_breaks:handler", 'app_breaks.py", line 1'),
        ("app_syntax.py:handler", "SyntaxError"),
        ("app_empty.py:handler", "It defines no function."),
        ("inner/app_deep:handler", "There is no module"),
        ("inner.app_deep.handler", "here it is inner.app_deep:handler"),
    ],
)
def test_a_target_that_cannot_be_called_is_2_and_teaches(
    run: Run, folder: Path, target: str, lesson: str
) -> None:
    (folder / "app_needs.py").write_text("import not_there")
    (folder / "app_breaks.py").write_text("1 / 0")
    (folder / "app_syntax.py").write_text("def")
    (folder / "app_empty.py").write_text("")
    (folder / "inner").mkdir()
    (folder / "inner" / "app_deep.py").write_text("")
    result = run("invoke", target, "--sample", "sqs")
    assert (result.exit_code, result.stdout) == (2, "")
    assert lesson in " ".join(result.stderr.split())
    assert "asyncbatch/cli" not in result.stderr


def test_a_handler_that_the_package_refuses_is_told_in_its_words(run: Run, folder: Path) -> None:
    (folder / "app_plain.py").write_text(
        "from asyncbatch import batch_handler\n@batch_handler\ndef handler(record): ...\n"
    )
    result = run("invoke", "app_plain:handler", "--sample", "sqs")
    assert result.exit_code == 2
    assert "threaded" in result.stderr


@pytest.mark.parametrize("target", ["app:plain", "app.py:plain", "./app.py:plain"])
def test_modules_and_files_are_found(run: Run, target: str) -> None:
    assert run("invoke", target, "--sample", "sqs").exit_code == 0


def test_the_function_is_lambda_handler_unless_named(run: Run, folder: Path) -> None:
    (folder / "app_default.py").write_text("def lambda_handler(event, context): return 'found'")
    assert run("invoke", "app_default.py", "--sample", "sqs").stdout == '"found"\n'
    assert run("invoke", "app_default", "--sample", "sqs").stdout == '"found"\n'


def test_a_file_finds_its_neighbours_and_its_dataclasses(run: Run, folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "app_neighbour.py").write_text("answer = 'next door'")
    (inner / "app_file.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import app_neighbour\n"
        "@dataclass\n"
        "class Order:\n"
        "    number: int\n"
        "def lambda_handler(event, context): return app_neighbour.answer\n"
    )
    assert run("invoke", "inner/app_file.py", "--sample", "sqs").stdout == '"next door"\n'


def test_a_file_named_as_a_loaded_module_does_not_replace_it(run: Run, folder: Path) -> None:
    (folder / "json.py").write_text("def lambda_handler(event, context): return 'mine'")
    assert run("invoke", "json.py", "--sample", "sqs").stdout == '"mine"\n'
