"""The demo, with fewer records: it shows what happened, and would notice a broken promise."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from asyncbatch import BatchEngine, EventSource
from asyncbatch.testing import sample_event

Load = Callable[[str], ModuleType]


@pytest.fixture
def demo(example: Load, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The demo with one batch of each event source, and short measurements."""
    module = example("demo")
    jobs = tuple(replace(job, batches=1, size=min(job.size, 300)) for job in module.JOBS)
    monkeypatch.setattr(module, "JOBS", jobs)
    monkeypatch.setattr(module, "SEQUENTIAL_RUNS", 2)
    return module


def rows(output: str) -> dict[str, list[str]]:
    """Return the cells of the table, by event source."""
    sources = {source.value for source in EventSource}
    lines = [line.split() for line in output.splitlines()]
    return {cells[0]: cells[1:] for cells in lines if len(cells) > 5 and cells[0] in sources}


def test_every_record_is_done_or_a_dead_letter(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "no record lost, every order kept" in shown.out
    assert "\n  kinesis   4954" in shown.out
    for job in demo.JOBS:
        records, calls, done, dead, *_ = rows(shown.out)[job.source.value]
        event = sample_event(job.source, job.size, keys=job.keys, seed=0)
        assert int(records) == job.size == int(done) + int(dead)
        assert int(dead) == sum(amount > 197 for amount in amounts(event))
        assert (int(calls) > 1) == (int(dead) > 0)


def amounts(event: dict[str, Any]) -> list[float]:
    """Return the orders' amounts; `test_event_sources` checks the records that read them."""

    async def nothing(_record: object) -> None: ...

    engine = BatchEngine(raise_on_failure="never")
    outcomes = engine.run(event, nothing).outcomes
    return [float(outcome.record.json()["amount"]) for outcome in outcomes]


def test_a_broken_order_would_be_told(
    demo: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that ignores lanes must not pass for one that keeps them."""
    load = demo.load_target

    def unordered(target: str) -> Any:
        handler = load(target)
        engine = replace(handler.engine, ordering=lambda record: record.id)
        return type(handler)(handler.handler, engine)

    kinesis = next(job for job in demo.JOBS if job.source is EventSource.KINESIS)
    monkeypatch.setattr(demo, "JOBS", (kinesis,))
    monkeypatch.setattr(demo, "load_target", unordered)
    assert demo.main() == 1
    shown = capsys.readouterr().out
    assert "BROKEN" in shown
    assert rows(shown)["kinesis"][5] == "broken"
