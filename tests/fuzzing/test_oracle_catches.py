"""The oracle is seen complaining: one deliberate defect at a time, and the complaint that it has to raise."""

import inspect
import random
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from cases import fresh_case
from oracle import complaints
from runs import run_case

from asyncbatch import InvalidEventError, _dynamodb, _events, _failure_texts, _records, _report
from asyncbatch._events import Batch
from asyncbatch._report import BatchReport
from asyncbatch._scheduler import CAN_START_EAGERLY, Run
from asyncbatch.powertools import _processing, _turns

pytestmark = pytest.mark.filterwarnings("ignore")  # broken code leaves coroutines unawaited

SEEDS = 3000
"""Cases that a defect has at most to show itself in; most do in the first hundred."""

TEXTS = {
    "the report drops a failure": (
        BatchReport._named,
        "if unit in halted:",
        "if unit in halted and position:",
        "taken as done, and is not",
    ),
    "a checkpoint beyond the failure": (
        BatchReport._named,
        "yield self._succeeded.index(0)",
        "yield self._succeeded.rindex(0)",
        "taken as done, and is not",
    ),
    "what is behind a failure is not named": (
        BatchReport._named,
        "if unit in halted:",
        "if not self._succeeded[position]:",
        "behind a failure, and not named",
    ),
    "a name per failed copy": (
        BatchReport.failures.fget,
        "for position in named.values()]",
        "for position in self._named(rules)]",
        "named more than once",
    ),
    "order is not looked at": (
        BatchReport.failures.fget,
        "self._check_order(rules)",
        "pass",
        "out of order, not every record is done, and there is a reply",
    ),
    "the reply names positions": (
        Batch.identifier,
        "return self.rules.identifier(self.names[position])",
        "return position",
        "names nothing in the event",
    ),
    "the reply names what JSON does not have": (
        Batch.identifier,
        "return self.rules.identifier(self.names[position])",
        "return {position}",
        "the reply is not JSON",
    ),
    "success before the handler": (
        Run._attempt,
        "result = await self._handler(record)",
        "self._ledger.succeeded[position] = 1; result = await self._handler(record)",
        "taken as done, and is not",
    ),
    "a coroutine is taken for a result": (
        Run._attempt,
        "(result is None or self._is_plain(position, result))",
        "True",
        "taken as done, and is not",
    ),
    "a pending cancellation is not looked for": (
        Run._fill if CAN_START_EAGERLY else Run._settle,
        " and not task.cancelling()",
        "",
        "taken as done, and is not",
    ),
    "an identifier may be anything": (
        _events._checked,
        "if not sound:",
        "if False:",
        "an event ran that cannot be reported on",
    ),
    "an empty identifier is one": (
        _events._checked,
        ' and "" not in distinct',
        "",
        "an event ran that cannot be reported on",
    ),
    "what is missing is a KeyError": (
        _events._checked,
        "raise _first_problem(rules, raws) from None",
        "raise",
        "not an error of ours: KeyError",
    ),
    "sources may be mixed": (
        _events._detected_one_by_one,
        "if len(sources) > 1:",
        "if False:",
        "an event ran that cannot be reported on",
    ),
    "the first record tells the source": (
        _events._detected,
        'if record["eventSource"] != tag or record["eventSourceARN"] != arn:',
        "if False:",
        "an event ran that cannot be reported on",
    ),
    "an error names no place": (
        _events._first_problem,
        'f"record {position}{place}"',
        '"somewhere"',
        "no place is named",
    ),
    "an error names another place": (
        _events._first_problem,
        'f"record {position}{place}"',
        'f"record {len(raws)}{place}"',
        "there is no such place",
    ),
    "texts have no end": (
        _failure_texts.describe,
        'text_of(error, TEXT_LIMIT - len(name) - len(": "))',
        "str(error)",
        "a text has",
    ),
    "half a character is kept": (
        _failure_texts.encodable,
        "text.isascii()",
        "True",
        "a text cannot be encoded",
    ),
    "an identifier is shown as a whole": (
        _report._shown,
        "!s:.200",
        "",
        "a text has",
    ),
    "a type in a payload is quoted": (
        _dynamodb.decode_attribute,
        "{kind:.4}",
        "{kind}",
        "a text shows a record's content",
    ),
    "the drop-in takes any entry for a success": (
        _processing.claims_success,
        'entry[0] == "success"',
        "True",
        "taken as done, and is not",
    ),
    "the drop-in forgets what failed": (
        _turns.Turn.entries,
        "entries |= unsuccessful if named else tally.failures()",
        "pass",
        "taken as done, and is not",
    ),
}
"""Name: the function, the text in it, what stands there instead, and the complaint."""

KIND_OF = {
    "a name per failed copy": "sqs",
    "an empty identifier is one": "sqs-fifo",
    "what is behind a failure is not named": "sqs-fifo",
    "a type in a payload is quoted": "dynamodb",
}
"""The kind of event in which a defect shows itself, where that is rare in others."""


def mutated(function: Any, text: str, instead: str) -> Any:
    """The code of a function with one defect in it."""
    source = textwrap.dedent(inspect.getsource(function)).removeprefix("@property\n")
    assert text in source, f"{function.__qualname__} has changed: give the defect new text"
    names: dict[str, Any] = {}
    program = "from __future__ import annotations\n" + source.replace(text, instead, 1)
    exec(compile(program, "<defect>", "exec"), dict(function.__globals__), names)
    return names[function.__name__].__code__


def is_raised(complaint: str, kind: str | None = None) -> bool:
    cases = (fresh_case(random.Random(seed), kind) for seed in range(SEEDS))
    return any(each.startswith(complaint) for case in cases for each in complaints(run_case(case)))


@pytest.mark.parametrize("defect", TEXTS)
def test_a_defect_is_caught(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, text, instead, complaint = TEXTS[defect]
    monkeypatch.setattr(function, "__code__", mutated(function, text, instead))
    assert is_raised(complaint, KIND_OF.get(defect))


def quoting(text: Any) -> Any:
    message = f"this is no JSON: {text!r:.100}"
    raise ValueError(message)


def refusing(*_: Any) -> Any:
    raise InvalidEventError("is refused", "Records")


def failing(*_: Any) -> Any:
    raise LookupError


REPLACED: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "an error quotes the payload": (
        _records,
        "decode_json",
        quoting,
        "a text shows a record's content",
    ),
    "every event is refused": (_events, "_checked", refusing, "a good event is refused"),
    "the report fails": (BatchReport, "_named", failing, "not an error of ours: LookupError"),
}


@pytest.mark.parametrize("defect", REPLACED)
def test_a_part_that_does_something_else_is_caught(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead, complaint = REPLACED[defect]
    monkeypatch.setattr(owner, name, instead)
    assert is_raised(complaint)


def test_without_a_defect_there_is_nothing_to_complain_of() -> None:
    found = [complaints(run_case(fresh_case(random.Random(seed)))) for seed in range(500)]
    assert not any(found)
