"""Texts about failures: bounded, encodable, without content, and whatever an exception's class does."""

import pickle
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

import pytest
from hostile import HOSTILE, ClosedGroup, TextlessError, UnchainedError, UntracedError, escape
from pydantic_core import PydanticCustomError, ValidationError
from pydantic_core._pydantic_core import list_all_errors

from asyncbatch import FailureReason
from asyncbatch._failure_texts import (
    describe,
    describe_invalid,
    describe_pair,
    drop_tracebacks,
    encodable,
    trace_of,
)
from asyncbatch._ledger import Ledger
from asyncbatch._raised import cause_of, context_of, is_ctrl_c, members_of, traceback_of, type_name
from asyncbatch.limits import is_overload


def raised(error: BaseException) -> BaseException:
    """The error with the traceback that raising it gives."""
    try:
        raise error  # noqa: TRY301 - the subject
    except BaseException as caught:
        return caught


@pytest.fixture
def _in_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")


@pytest.mark.usefixtures("_in_lambda")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_exception_is_described_noted_and_loses_its_frames(name: str) -> None:
    error = raised(HOSTILE[name]())
    name = type.__dict__["__name__"].__get__(type(error))
    ledger = Ledger(1)
    ledger.fail(0, FailureReason.RAISED, error)
    failure = ledger.failures[0]
    assert failure.error is error
    assert failure.message.startswith(name)
    assert failure.trace.startswith("test_failure_texts.py:")
    assert traceback_of(error) is None


@pytest.mark.usefixtures("_in_lambda")
@pytest.mark.parametrize("name", HOSTILE)
def test_no_question_about_a_hostile_exception_raises(name: str) -> None:
    error = HOSTILE[name]()
    assert describe_invalid(error, ()).startswith(type.__dict__["__name__"].__get__(type(error)))
    assert describe_pair(type(error), error, 100).startswith("<class ")
    assert is_overload(error) is False
    assert is_ctrl_c(error) is False
    drop_tracebacks(error)


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, MemoryError, RecursionError])
def test_whatever_a_text_raises_is_no_more_than_a_text_that_cannot_be_shown(
    error: type[BaseException],
) -> None:
    class Odd(Exception):  # noqa: N818 - any exception
        def __str__(self) -> str:
            raise error

    assert describe(Odd()) == "Odd (its text cannot be shown)"
    assert describe_pair(Odd, Odd(), 200).endswith("Odd'>:(its text cannot be shown)")


def test_what_was_raised_is_asked_of_the_base_classes() -> None:
    cause, context = ValueError(), KeyError()
    error = UnchainedError()
    BaseException.__dict__["__cause__"].__set__(error, cause)
    BaseException.__dict__["__context__"].__set__(error, context)
    assert (cause_of(error), context_of(error)) == (cause, context)
    assert members_of(ClosedGroup("closed", [cause])) == (cause,)
    assert members_of(cause) == ()
    assert isinstance(traceback_of(raised(UntracedError())), TracebackType)


# --- Ctrl-C -------------------------------------------------------------------------------------------


class Interrupting(Exception):  # noqa: N818 - any exception
    def __str__(self) -> str:
        raise KeyboardInterrupt

    @property
    def errors(self) -> Any:
        raise KeyboardInterrupt


TELLERS: list[Callable[[BaseException], str]] = [
    describe,
    lambda error: describe_invalid(error, ()),
    lambda error: describe_pair(type(error), error, 100),
]


@pytest.mark.parametrize("tell", TELLERS, ids=["text", "payload", "pair"])
def test_ctrl_c_while_a_text_is_made_comes_out_except_in_lambda(
    tell: Callable[[BaseException], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    with pytest.raises(KeyboardInterrupt):
        tell(Interrupting())
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    assert "Interrupting" in tell(Interrupting())


def test_the_ledger_notes_ctrl_c_and_the_failure_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    ledger = Ledger(3)
    ledger.fail(0, FailureReason.RAISED, ValueError())
    assert ledger.interrupt is None
    ledger.fail(1, FailureReason.RAISED, Interrupting())
    assert ledger.failures[1].message == "Interrupting"
    assert type(ledger.interrupt) is KeyboardInterrupt
    pressed = KeyboardInterrupt()
    ledger.fail(1, FailureReason.RAISED, pressed)  # the first reason stands
    assert ledger.interrupt is pressed
    assert type(ledger.failures[1].error) is Interrupting


# --- type and text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (ValueError(), "ValueError"),
        (TextlessError(), "TextlessError (its text cannot be shown)"),
    ],
)
def test_a_description_is_type_and_text(error: BaseException, text: str) -> None:
    assert describe(error) == text


def test_the_drop_in_writes_it_as_powertools_does() -> None:
    assert describe_pair(ValueError, ValueError("bad"), 100) == "<class 'ValueError'>:bad"
    assert describe_pair(None, None, 100) == "None:None"


def test_texts_are_bounded() -> None:
    long = type("L" * 1_000_000, (Exception,), {})
    assert len(type_name(long())) == 200
    assert len(describe(ValueError("x" * 1_000_000))) == 1024
    assert len(describe(long("x" * 1_000_000))) == 1024
    assert len(describe(ValueError("\ud83d" * 1_000_000))) == 1024
    assert len(describe_pair(long, long("x" * 1_000_000), 100)) == 100
    errors = [{"loc": ("x" * 100_000,), "type": "missing", "msg": "y" * 100_000}] * 100
    assert len(describe_invalid(FakeValidationError(errors), ())) <= 1024


class Text(str):
    """A text whose every method raises."""

    __slots__ = ()
    __format__ = __getitem__ = __len__ = __str__ = __add__ = __eq__ = encode = isascii = escape
    __hash__ = escape


def test_a_text_of_a_class_of_its_own_is_made_a_plain_one() -> None:
    class Odd(Exception):  # noqa: N818 - any exception
        def __str__(self) -> str:
            return Text("bad \ud83d")

    Odd.__name__ = Text("Renamed")
    for text in (describe(Odd()), describe_pair(Odd, Odd(), 200)):
        assert type(text) is str
        assert text.endswith(":bad \\ud83d") or text == "Renamed: bad \\ud83d"
    assert type(type_name(Odd())) is str
    assert pickle.loads(pickle.dumps(describe(Odd()))) == "Renamed: bad \\ud83d"


def test_halves_of_characters_are_written_out() -> None:
    assert encodable("plain") == "plain"
    assert encodable("\u00e4\ud83d") == "\u00e4\\ud83d"


# --- payloads that do not fit -------------------------------------------------------------------------


class FakeValidationError(Exception):
    """Has the list of errors that pydantic's has."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__("MARKER")
        self._errors = errors

    def errors(self, **options: bool) -> list[dict[str, Any]]:
        assert options == {"include_url": False, "include_context": True, "include_input": False}
        return self._errors


def test_an_invalid_payload_is_described_by_place_and_problem_without_its_own_names() -> None:
    error = FakeValidationError(
        [
            {"loc": ("lines", 2, "MARKER", "total"), "type": "int_parsing", "msg": "not a number"},
            {"loc": (), "type": "missing", "msg": "nothing there"},
            {"loc": ("total",), "type": "greater_than", "msg": "more than 5", "ctx": {"gt": 5}},
            {
                "loc": ("total",),
                "type": "union_tag_invalid",
                "msg": "found tag 'MARKER'",
                "ctx": {"tag": "MARKER", "discriminator": "kind"},
            },
            {"loc": ("total",), "type": "odd_total", "msg": "MARKER is odd"},
            {
                "loc": ("total",),
                "type": "value_error",
                "msg": "Value error, MARKER",
                "ctx": {"error": UnicodeError("MARKER")},
            },
        ]
    )
    assert describe_invalid(error, {"lines", "total"}) == (
        "FakeValidationError: lines.2.*.total: not a number; payload: nothing there; total: more than 5; "
        "total: union_tag_invalid; total: odd_total; total: value_error (UnicodeError)"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("the payload is not JSON"), "ValueError: the payload is not JSON"),  # ours
        (KeyError("MARKER"), "KeyError"),
        (UnicodeDecodeError("utf-8", b"MARKER", 0, 1, "MARKER"), "UnicodeDecodeError"),
        (FakeValidationError([{"nothing": "MARKER"}]), "FakeValidationError"),
        (TextlessError(), "TextlessError"),
    ],
)
def test_what_may_quote_the_payload_is_described_by_its_type(error: Exception, text: str) -> None:
    assert describe_invalid(error, ()) == text


# Whose contexts hold texts of the model's own: names of classes and fields, values it expects, patterns. That of
# `json_invalid` holds what the parser says, which is a kind of mistake and a place.
MODELS_OWN_TEXTS = {
    *("dataclass_exact_type", "dataclass_type", "model_type", "named_tuple_type", "needs_python_object"),
    *("is_instance_of", "is_subclass_of", "enum", "literal_error", "string_pattern_mismatch", "url_scheme"),
    *("too_long", "too_short", "union_tag_not_found", "json_invalid"),
}


def with_marker(context: dict[str, Any] | None) -> dict[str, Any]:
    """The context with a mark in each of its texts, and for what a validator raised."""
    return {
        name: "MARKER"
        if value == ""
        else ValueError("MARKER")
        if value is None and name == "error"
        else value
        for name, value in (context or {}).items()
    }


@pytest.mark.parametrize("known", list_all_errors(), ids=lambda known: known["type"])
def test_no_message_of_pydantic_shows_a_context_that_may_hold_input(known: Any) -> None:
    details: Any = {
        "type": known["type"],
        "loc": (),
        "input": "MARKER",
        "ctx": with_marker(known.get("example_context")),
    }
    text = describe_invalid(ValidationError.from_exception_data("Order", [details]), ())
    assert text.startswith("ValidationError: payload: ")
    if known["type"] not in MODELS_OWN_TEXTS:
        assert "MARKER" not in text
    if not known.get("example_context"):
        assert known["example_message_python"] in text


@pytest.mark.parametrize("context", [None, {"value": "MARKER"}, {"expected": "MARKER"}])
def test_messages_of_errors_that_are_not_pydantics_own_are_not_shown(context: Any) -> None:
    details: Any = {"type": PydanticCustomError("odd_total", "MARKER is odd", context), "loc": (), "input": 1}
    error = ValidationError.from_exception_data("Order", [details])
    assert describe_invalid(error, ()) == "ValidationError: payload: odd_total"


# --- where an error was raised ------------------------------------------------------------------------

PASSES_ON = """
def {name}(call, depth):
    return call() if depth == 0 else {name}(call, depth - 1)
"""


def function_in(filename: str, name: str) -> Callable[[Callable[[], Any], int], Any]:
    """A function in a file, which calls itself some times and then what it is given."""
    namespace: dict[str, Any] = {}
    exec(compile(PASSES_ON.format(name=name), filename, "exec"), namespace)
    function: Callable[[Callable[[], Any], int], Any] = namespace[name]
    return function


handler = function_in("/var/task/app.py", "handler")
client = function_in("/var/task/orders/client.py", "client")
library = function_in("/opt/venv/lib/python3.13/site-packages/library/core.py", "library")
layer = function_in("/opt/python/layered/core.py", "layer")
distribution = function_in("/usr/lib/python3/dist-packages/distribution/core.py", "distribution")
generated = function_in("<generated>", "generated")


def fail() -> Any:
    raise ValueError


def caught(call: Callable[[], Any]) -> BaseException:
    """What a call raises, with a traceback that does not begin here."""
    try:
        call()
    except BaseException as error:
        traceback = traceback_of(error)
        assert traceback is not None
        return error.with_traceback(traceback.tb_next)
    raise AssertionError


def raising_in(end: Callable[..., Any], depth: int) -> Callable[[], Any]:
    """A call that raises within so many calls of a function."""
    namespace: dict[str, Any] = {}
    exec(compile("def fail():\n    raise ValueError", end.__code__.co_filename, "exec"), namespace)
    return partial(end, namespace["fail"], depth)


@pytest.mark.parametrize("other", [library, layer, distribution, generated], ids=lambda each: each.__name__)
def test_a_trace_leads_from_the_handler_by_the_users_last_call_to_the_error(other: Any) -> None:
    error = caught(partial(handler, partial(client, raising_in(other, 40), 0), 0))
    places = trace_of(error).split(" > ")
    assert places[0].startswith("app.py:3 in handler")
    assert any(place.startswith("client.py:3 in client") for place in places)
    assert places[-1].endswith(" in fail")
    assert places[-2].endswith(f" in {other.__name__}")
    assert sum(place.startswith("... ") and place.endswith(" calls ...") for place in places) == 1


def test_a_trace_counts_the_calls_that_it_leaves_out() -> None:
    error = caught(partial(library, partial(handler, raising_in(library, 20), 30), 9))
    shown = trace_of(error).split(" > ")
    cut = [int(place.split()[1]) for place in shown if place.endswith(" calls ...")]
    calls, traceback = 0, traceback_of(error)
    while traceback is not None:
        calls, traceback = calls + 1, traceback.tb_next
    assert len(shown) - len(cut) + sum(cut) == calls
    assert shown[0].endswith(" calls ...")  # the library that called the handler
    assert shown[1].startswith("app.py:3 in handler")


def test_a_trace_without_code_of_the_users_begins_with_the_first_call() -> None:
    places = trace_of(caught(raising_in(library, 20))).split(" > ")
    assert places[0] == "core.py:3 in library"
    assert places[-1] == "core.py:2 in fail"


def test_a_short_trace_is_shown_whole() -> None:
    error = caught(partial(handler, fail, 2))
    assert trace_of(error).split(" > ")[:3] == ["app.py:3 in handler"] * 3
    assert "calls" not in trace_of(error)


def test_an_error_that_was_never_raised_has_no_trace() -> None:
    assert trace_of(ValueError()) == ""


def test_a_trace_is_bounded() -> None:
    long = function_in("/" + "f" * 5_000 + ".py", "n" * 5_000)
    assert len(trace_of(caught(partial(long, partial(library, raising_in(library, 99), 9), 99)))) <= 1024
    error = caught(partial(long, fail, 99))
    assert len(trace_of(ExceptionGroup("group", [error]))) <= 1024  # type: ignore[list-item]


def test_the_trace_of_a_group_also_leads_to_its_first_member() -> None:
    first = caught(partial(client, raising_in(library, 9), 9))
    inner = ExceptionGroup("inner", [first, ValueError()])  # type: ignore[list-item]

    def fails() -> None:
        raise ExceptionGroup("outer", [inner, ValueError()])

    trace = trace_of(caught(partial(handler, fails, 3)))
    of_group, _, of_member = trace.partition("; first in the group: ")
    assert of_group.startswith("app.py:3 in handler")
    assert of_group.endswith(" in test_the_trace_of_a_group_also_leads_to_its_first_member.<locals>.fails")
    assert of_member.startswith("client.py:3 in client > ...")
    assert of_member.endswith("core.py:2 in fail")


def test_groups_in_groups_without_end_end() -> None:
    error: Exception = ValueError()
    for _ in range(1_000):
        error = ExceptionGroup("group", [error])
    assert trace_of(error) == ""
