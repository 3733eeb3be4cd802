"""What the engine's tests share: their helper modules, and a fresh loop for every test."""

import sys
from pathlib import Path

import pytest

import asyncbatch

sys.path.insert(0, str(Path(__file__).parent))  # folders of tests are no packages


@pytest.fixture(autouse=True)
def _fresh_loop():
    yield
    asyncbatch.shutdown()
