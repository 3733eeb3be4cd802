"""What the facade's tests share: both libraries, and an event loop that is set, as the peer wants one."""

import asyncio
import sys
from pathlib import Path

import pytest

import asyncbatch

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))  # folders of tests are no packages
sys.path.insert(0, str(Path(__file__).parent))

from libraries import OURS, THEIRS


@pytest.fixture(autouse=True)
def _fresh_loop(request):
    """A current loop of the test's own: without one the peer warns, and makes one that nobody closes."""
    if "bare_thread" in request.fixturenames:
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
    asyncbatch.shutdown()


@pytest.fixture
def bare_thread():
    """A thread without a current loop, and none of ours."""
    asyncbatch.shutdown()
    asyncio.set_event_loop(None)
    yield
    asyncbatch.shutdown()
    asyncio.set_event_loop(None)


@pytest.fixture(params=[OURS, THEIRS], ids=repr)
def lib(request):
    """Each of the two: what a test says of it is true of both."""
    return request.param


@pytest.fixture(params=[False, True], ids=["elsewhere", "in Lambda"])
def in_lambda(request, monkeypatch):
    """The peer runs on another loop in Lambda than elsewhere."""
    if request.param:
        monkeypatch.setenv("LAMBDA_TASK_ROOT", "/var/task")
    return request.param
