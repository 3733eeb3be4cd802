"""What the engine's tests share: their helper modules, and a fresh loop for every test."""

import sys
from pathlib import Path

import pytest

import asyncbatch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]  # folders of tests are no packages


@pytest.fixture(autouse=True)
def _fresh_loop():
    yield
    asyncbatch.shutdown()
