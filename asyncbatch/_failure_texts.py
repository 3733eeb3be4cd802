"""Texts about what went wrong with a record: bounded, encodable, and safe from what an exception's class may do.

They name errors, the calls that an error came through, and what is wrong with a payload.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import islice
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from asyncbatch._raised import (
    cause_of,
    context_of,
    is_ctrl_c,
    members_of,
    traceback_of,
    type_name,
)

if TYPE_CHECKING:
    from types import TracebackType

# Bounds of what is kept and logged: ten failures with the place they were raised at, 1 KiB a text.
TRACED_FAILURES: Final = 10
TEXT_LIMIT: Final = 1024
_CHAIN: Final = 100
_NOT_SHOWN: Final = "(its text cannot be shown)"


def encodable(text: str) -> str:
    r"""A text without halves of characters, which JSON can escape (``"\ud83d"``) and UTF-8 cannot hold.

    The log handlers of Lambda's runtime raise at those, and a warning would cost the reply.
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def bounded(text: str, limit: int = TEXT_LIMIT) -> str:
    """A plain, encodable text of at most so many characters, also where it is of a subclass of `str`."""
    return encodable(str.__getitem__(text, slice(limit)))[:limit]


def text_of(value: object, limit: int = TEXT_LIMIT) -> str:
    """What `str` gives for a value, whatever its ``__str__`` does.

    Args:
        value: An exception, mostly.
        limit: Most characters.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C meanwhile, outside Lambda.
    """
    try:
        return bounded(str(value), limit)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        return _NOT_SHOWN


def describe(error: BaseException) -> str:
    """Type and text of an error, at most 1 KiB.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C meanwhile, outside Lambda.
    """
    name = type_name(error)
    text = text_of(error, TEXT_LIMIT - len(name) - len(": "))
    if not text:
        return name
    return f"{name} {text}" if text is _NOT_SHOWN else f"{name}: {text}"


def describe_pair(kind: Any, error: object, limit: int) -> str:
    """The same as Powertools writes it: ``<class 'ValueError'>:the text``.

    Args:
        kind: The class of what was raised.
        error: What was raised.
        limit: Most characters.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C meanwhile, outside Lambda.
    """
    shown = type.__repr__(kind) if issubclass(type(kind), type) else text_of(kind)
    return bounded(f"{shown}:{text_of(error, limit)}", limit)


# --- payloads that do not fit -------------------------------------------------------------------------

# Pydantic's messages are made of a context. These parts of it are the model's own, or a length; the others come
# from the payload, or from what a validator raised, which may quote it.
_OF_THE_MODEL: Final = frozenset(
    {
        *("gt", "ge", "lt", "le", "multiple_of", "max_digits", "decimal_places", "whole_digits"),
        *(
            "min_length",
            "max_length",
            "actual_length",
            "field_type",
            "pattern",
            "expected",
            "expected_schemes",
        ),
        *("class", "class_name", "discriminator", "expected_version", "tz_expected", "method_name"),
    }
)
_SAYS_WHERE: Final = "json_invalid"  # its context is the parser's message: a line and a column
_PLACES: Final = 20


def describe_invalid(error: BaseException, names: Container[str]) -> str:
    """Why a payload does not fit its model, without quoting the payload.

    Pydantic's own text does quote it. Its list of errors can leave the input out, all but the keys of the payload
    that stand in a place's path, and messages that were made of the input. Of these the type is shown, and so it
    is of errors that validators raise: their texts may quote the payload too.

    Args:
        error: What the validation raised.
        names: The names that the model itself gives to places.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C meanwhile, outside Lambda.
    """
    name = type_name(error)
    try:
        tell: Any = getattr(error, "errors", None)  # pydantic's, without importing it
        errors = tell(include_url=False, include_context=True, include_input=False)
        lines = [_invalid_place(each, names) for each in islice(errors, _PLACES)]
    except BaseException as other:
        if is_ctrl_c(other):
            raise
        return describe(error) if type(error) is ValueError else name  # else it may quote the payload
    return bounded(f"{name}: {'; '.join(lines)}")


def _invalid_place(error: Mapping[str, Any], names: Container[str]) -> str:
    path = ".".join(str(part) if isinstance(part, int) or part in names else "*" for part in error["loc"])
    return f"{path or 'payload'}: {_invalid_message(error)}"


def _invalid_message(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if _is_pydantics_own(kind) and (kind == _SAYS_WHERE or context.keys() <= _OF_THE_MODEL):
        message: str = error["msg"]
        return message
    raised = context.get("error")  # by a validator
    return f"{kind} ({type_name(raised)})" if issubclass(type(raised), BaseException) else kind


def _is_pydantics_own(kind: str) -> bool:
    """Whether a type of error is one that pydantic has a message for; anybody may raise others."""
    from pydantic_core import PydanticKnownError  # noqa: PLC0415 - whoever raised this error has loaded it

    try:
        PydanticKnownError(kind)  # type: ignore[arg-type]  # it may be of another type, which is the question
    except KeyError:
        return False
    except TypeError:  # a context is missing
        return True
    return True


# --- where an error was raised ------------------------------------------------------------------------

# How many calls a trace shows: from the handler on, and to the place where the error was raised. Of the members of
# a group it shows the first, and less of each.
_FROM_HANDLER: Final = 3
_TO_ERROR: Final = 4
_PLACE_LIMIT: Final = 100

_Call = tuple[CodeType, int]


def trace_of(error: BaseException) -> str:
    """The calls that an error came through, at most 1 KiB: ``file:line in function``; no source file is read.

    Shown are the first calls from the handler on, the last one in the user's own code, and those that lead to the
    error; what lies between them is counted.
    """
    leaf = _first_leaf(error)
    if leaf is error:
        return _shown_calls(error, _FROM_HANDLER, _TO_ERROR)
    of_leaf = _shown_calls(leaf, 1, 2)
    return _shown_calls(error, 1, 1) + (f"; first in the group: {of_leaf}" if of_leaf else "")


def _first_leaf(error: BaseException) -> BaseException:
    for _ in range(_CHAIN):
        members = members_of(error)
        if not members:
            break
        error = members[0]
    return error


def _shown_calls(error: BaseException, head: int, tail: int) -> str:
    calls = _calls(traceback_of(error))
    if len(calls) <= head + tail:
        return " > ".join([_place(*call) for call in calls])
    positions = range(len(calls))
    first = _first_own(calls, positions)
    last = _first_own(calls, reversed(positions))
    chosen = {*range(first, first + head), last, *range(len(calls) - tail, len(calls))}
    parts: list[str] = []
    before = -1
    for index in sorted(chosen.intersection(positions)):
        if index > before + 1:
            parts.append(f"... {index - before - 1} calls ...")
        parts.append(_place(*calls[index]))
        before = index
    return " > ".join(parts)


def _first_own(calls: Sequence[_Call], positions: Iterable[int]) -> int:
    return next((at for at in positions if not _is_installed(calls[at][0].co_filename)), 0)


def _calls(traceback: TracebackType | None) -> Sequence[_Call]:
    """The calls outside this package, the outermost first."""
    calls: list[_Call] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_OWN_FOLDER):
            calls.append((code, traceback.tb_lineno))
        traceback = traceback.tb_next
    return calls


def _place(code: CodeType, line: int) -> str:
    return bounded(f"{os.path.basename(code.co_filename)}:{line} in {code.co_qualname}", _PLACE_LIMIT)  # noqa: PTH119 - pathlib costs import time


_OWN_FOLDER: Final = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - pathlib costs import time
# Where the code of others lies. What is bundled with a function lies beside its own code, and is taken for it.
_STANDARD_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - pathlib costs import time
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", "/opt/python/")


def _is_installed(filename: str) -> bool:
    """Whether code is a library's; code without a file is mostly made by one."""
    return filename.startswith((_STANDARD_LIBRARY, "<")) or any(part in filename for part in _INSTALLED)


def drop_tracebacks(error: BaseException) -> None:
    """Cut an error, and up to a hundred that it carries, loose from the frames that they pin."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest and len(seen) < _CHAIN:
        each = rest.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        BaseException.with_traceback(each, None)
        rest += (cause_of(each), context_of(each), *members_of(each))
