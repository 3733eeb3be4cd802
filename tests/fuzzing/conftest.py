"""What the fuzzing tests share: their helper modules, and time that is virtual."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # folders of tests are no packages

from runs import virtual_time


@pytest.fixture(autouse=True, scope="module")
def _virtual_time() -> Iterator[None]:
    with virtual_time():
        yield
