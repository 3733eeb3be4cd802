"""What these tests share: their modules, the engine's fates, and worlds that live beside the other tests."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]  # folders of tests are no packages

LAST = "test_twenty_thousand_worlds_break_no_law"
_soak = pytest.StashKey["subprocess.Popen[str]"]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask for the result last: until then the worlds live on another core."""
    items.sort(key=lambda item: item.name == LAST)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly or LAST not in {item.name for item in session.items}:
        return
    alone = len(session.items) == 1
    session.stash[_soak] = subprocess.Popen(
        [sys.executable, HERE / "soak.py", "--worlds", "20000", "--jobs", "2" if alone else "1"],
        stdout=subprocess.PIPE,
        text=True,
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nobody waits for worlds when the session is broken off."""
    process = session.stash.get(_soak, None)
    if process is not None and process.poll() is None:
        process.terminate()
        process.wait(10)


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    """The program that lets twenty thousand worlds live, begun with the session."""
    process = request.session.stash[_soak]
    yield process
    process.kill()
    process.communicate()
