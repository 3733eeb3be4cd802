"""The page "Testing your handler": its examples are a test suite, which passes."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "examples" / "testing.md"
ORDERS, *TESTS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_suite_on_the_page_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(
        '[tool.pytest]\nasyncio_mode = "auto"\nasyncio_default_fixture_loop_scope = "function"'
    )
    pytester.makepyfile(orders=ORDERS, test_orders="\n".join(TESTS))
    outcome = pytester.runpytest_subprocess("-q").parseoutcomes()
    assert set(outcome) == {"passed"}
    assert outcome["passed"] >= len(re.findall(r"^def test_", "\n".join(TESTS), re.MULTILINE))


def test_the_journal_on_the_page_is_what_a_mapping_tells() -> None:
    from asyncbatch import batch_handler
    from asyncbatch.testing import HandlerSpy, SqsFifoMapping, fail, scripted, succeed

    spy = HandlerSpy(scripted({"o-1": fail()}, otherwise=succeed(after=0.2)))
    with SqsFifoMapping(batch_handler(spy), max_receive_count=3) as mapping:
        mapping.send("o-1", group="anna")
        mapping.send("o-3", group="ben")
        mapping.send("o-2", group="anna", after=1)
        mapping.run()
    (shown,) = re.findall(r"```text\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert str(mapping).startswith(shown)


def test_every_option_on_the_page_exists() -> None:
    import inspect

    from asyncbatch import testing

    known: set[str] = set()
    for kind in ("SqsMapping", "SqsFifoMapping", "KinesisMapping", "DynamoDBMapping", "KafkaMapping"):
        known |= set(inspect.signature(getattr(testing, kind)).parameters)
    known |= set(testing.ConditionOptions.__annotations__)
    table = next(part for part in PAGE.read_text().split("\n\n") if part.startswith("| | `SqsMapping`"))
    named = {word for row in table.splitlines()[3:] for word in re.findall(r"`([a-z_]+)`", row)}
    assert named <= known
    assert known - named == {"function", "conditions"}
