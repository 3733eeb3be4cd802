"""A folder of handlers, and the command run inside this process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result

from asyncbatch.cli._app import app

HANDLERS = """
    import logging
    import time
    from decimal import Decimal

    from asyncbatch import BatchHandler, batch_handler

    calls = 0


    @batch_handler
    async def good(record):
        print("a handler that prints")


    @batch_handler
    async def picky(record):
        if record.json()["order"] == "bad":
            raise ValueError("no such order")


    @batch_handler(raise_on_failure="any")
    async def strict(record):
        raise ValueError("never")


    @batch_handler
    async def counting(record):
        global calls
        calls += 1
        if calls > 1:
            raise ValueError(f"record {calls} of this process")


    def plain(event, context):
        return {"batchItemFailures": [], "left": context.get_remaining_time_in_millis() > 0}


    def names_one(event, context):
        return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}


    def silent(event, context):
        print("printed")


    def raises(event, context):
        raise LookupError("no table")


    def exits(event, context):
        raise SystemExit(4)


    def replies_a_set(event, context):
        return {1}


    def replies_a_coroutine(event, context):
        return coroutine(event, context)


    def replies_a_decimal(event, context):
        return {"total": Decimal("1.5")}


    def echo(event, context):
        return event


    def late(event, context):
        time.sleep(0.05)
        return {"batchItemFailures": []}


    async def coroutine(event, context):
        return {}


    def warns(event, context):
        logging.getLogger("asyncbatch").warning("a notice")


    number = 5
"""


@pytest.fixture(autouse=True)
def _imports_of_this_test_only() -> Iterator[None]:
    """Take back what loading a target leaves in the process."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("app"):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with `app.py`."""
    (tmp_path / "app.py").write_text(dedent(HANDLERS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


Run = Callable[..., Result]


@pytest.fixture
def run(folder: Path) -> Run:
    """Run the command with these arguments, in the folder of the handlers."""

    def command(*arguments: str, stdin: bytes | str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin)

    return command
