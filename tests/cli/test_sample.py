"""`asyncbatch sample` prints what `asyncbatch invoke` takes."""

import json

import pytest

from asyncbatch import EventSource

from .conftest import Run

SOURCES = [source.value for source in EventSource]


@pytest.mark.parametrize("source", SOURCES)
def test_a_sample_is_an_event_of_its_source(run: Run, source: str) -> None:
    sampled = run("sample", source, "-n", "4", "--keys", "2", "--seed", "1")
    assert sampled.exit_code == 0
    told = json.loads(run("invoke", "app:good", "--event", "-", "--json", stdin=sampled.stdout).stdout)
    assert told["counts"] == {"succeeded": 4, "failed": 0, "skipped": 0}


def test_keys_are_the_number_of_message_groups(run: Run) -> None:
    event = json.loads(run("sample", "sqs-fifo", "-n", "50", "--keys", "3").stdout)
    assert len({record["attributes"]["MessageGroupId"] for record in event["Records"]}) == 3


def test_ten_records_unless_asked(run: Run) -> None:
    assert len(json.loads(run("sample", "sqs").stdout)["Records"]) == 10


def test_the_same_seed_is_the_same_event(run: Run) -> None:
    one, two, other = (run("sample", "kafka", "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert one == two != other


def test_an_unknown_source_is_2(run: Run) -> None:
    result = run("sample", "sns")
    assert result.exit_code == 2
    assert "'kafka'" in result.stderr
