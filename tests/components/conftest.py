"""Whole chains: ministack's sources and mappings, AWS's runtime client, functions written with asyncbatch."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "functions"))
sys.path.insert(0, str(Path(__file__).parent))  # folders of tests are no packages

from cloud import Clients, Cloud
from journal import Journal
from simulated import Simulation


@pytest.fixture(scope="session")
def clients(ministack: str) -> Iterator[Clients]:
    with contextlib.ExitStack() as exits:
        yield Clients(ministack, exits)


@pytest.fixture
def cloud(clients: Clients) -> Iterator[Cloud]:
    with contextlib.ExitStack() as exits:
        yield Cloud(clients, exits)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """What the test's functions note."""
    return Journal(tmp_path / "journal")


@pytest.fixture
def simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulation:
    """The same without a server; its functions note into a file of their own."""
    return Simulation(tmp_path / "simulated", monkeypatch)
