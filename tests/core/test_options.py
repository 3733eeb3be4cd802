"""Options: what would break a rule is refused at construction, and says what would not."""

import dataclasses
from typing import Any

import pytest

from asyncbatch import BatchEngine, InvalidOptionError, batch_handler


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        *(("concurrency", value, "a whole number from 1 on") for value in (0, -1, 1.5, "8", True, None)),
        ("record_timeout", 0, " 0"),
        *(
            ("record_timeout", value, "a number of seconds")
            for value in (-1, "5", True, float("nan"), float("inf"))
        ),
        *(("deadline_margin", value, "from 0 on") for value in (-0.1, "1", True, float("inf"))),
        *(("grace", value, "from 0 on") for value in (-0.1, None, "1", False, float("nan"))),
        ("raise_on_failure", "always", '"never", "entire_batch" or "any"'),
        ("raise_on_failure", True, '"never", "entire_batch" or "any"'),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(option: str, value: Any, text: str) -> None:
    options = {option: value}
    for make in (BatchEngine, batch_handler):
        with pytest.raises(InvalidOptionError) as caught:
            make(**options)
        assert caught.value.option == option
        assert text in str(caught.value)
    with pytest.raises(InvalidOptionError):
        dataclasses.replace(BatchEngine(), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 1},
        {"record_timeout": 0.001, "deadline_margin": 0.0, "grace": 0},
        {"record_timeout": 5, "deadline_margin": 0.3, "grace": 0.3},
        {"raise_on_failure": None},
        {"raise_on_failure": "entire_batch"},
    ],
    ids=str,
)
def test_a_value_that_makes_sense_is_kept(options: dict[str, Any]) -> None:
    engine = BatchEngine(**options)
    assert {name: getattr(engine, name) for name in options} == options


@pytest.mark.parametrize(("margin", "least"), [(None, "0.3"), (0.05, "0.05")])
def test_the_grace_is_spent_inside_the_margin(margin: float | None, least: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"does not fit into the deadline margin of {least} s"):
        BatchEngine(deadline_margin=margin, grace=0.31)


def test_options_never_change() -> None:
    engine: Any = BatchEngine(concurrency=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        engine.concurrency = 6
    changed = dataclasses.replace(engine, concurrency=6)
    assert (engine.concurrency, changed.concurrency) == (5, 6)


def test_a_long_wrong_value_is_quoted_in_bounds() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        BatchEngine(grace="x" * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300
