"""Texts about what went wrong in a record: bounded, encodable, and made without raising anything.

They name errors, invalid payloads, the calls an error came through, and results that are no success.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from types import TracebackType

# Bounds of what is kept and logged: ten failures with the place they were raised at, 1 KiB a text.
TRACED_FAILURES: Final = 10
_TEXT_LIMIT: Final = 1024
_FRAMES: Final = 8
_CHAIN: Final = 100


def undone_work(result: object) -> str | None:
    """What a result is that cannot be success: an awaitable or a generator is work that was never done.

    Such a coroutine or generator is closed here, so that Python does not complain of it later.

    Args:
        result: What a handler, or a key function, returned.

    Returns:
        A text that names it; None for any plain value.
    """
    is_generator = inspect.isgenerator(result) or inspect.isasyncgen(result)
    if not (is_generator or inspect.isawaitable(result)):
        return None
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    if is_generator:
        return f"a {type(result).__name__} that nothing iterated over: is there a `yield` by mistake?"
    return f"a {type(result).__name__} that nothing awaited: is an `await` missing?"


def encodable(text: str) -> str:
    r"""A text without halves of characters, which JSON can escape (``"\ud83d"``) and UTF-8 cannot hold.

    The log handlers of Lambda's runtime raise at those, and a warning would cost the reply.
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def describe(error: BaseException) -> str:
    """Type and text of an error, at most 1 KiB, whatever its ``__str__`` does."""
    name = type(error).__name__
    try:
        text = str(error)
        return encodable(f"{name}: {text}"[:_TEXT_LIMIT]) if text else name
    except BaseException:  # noqa: BLE001 - a hostile __str__ must not decide more than this text
        return f"{name} (its text cannot be shown)"


# Pydantic's message for a wrong tag quotes the tag.
_QUOTES_ITS_INPUT: Final = "union_tag_invalid"


def describe_invalid(error: BaseException, names: Container[str]) -> str:
    """Why a payload does not fit its model, without quoting the payload.

    Pydantic's own text does quote it. Its list of errors can leave the input out, all but the keys of the payload
    that stand in a place's path.

    Args:
        error: What the validation raised.
        names: The names that the model itself gives to places.
    """
    name = type(error).__name__
    try:
        tell: Any = getattr(error, "errors", None)  # pydantic's, without importing it
        errors = tell(include_url=False, include_context=False, include_input=False)
        lines = [_invalid_place(each, names) for each in errors]
    except Exception:  # noqa: BLE001 - not pydantic's: its text may quote the payload
        return describe(error) if type(error) is ValueError else name
    return f"{name}: {'; '.join(lines)}"[:_TEXT_LIMIT]


def _invalid_place(error: Mapping[str, Any], names: Container[str]) -> str:
    path = ".".join(str(part) if isinstance(part, int) or part in names else "*" for part in error["loc"])
    kind = error["type"]
    return f"{path or 'payload'}: {kind if kind == _QUOTES_ITS_INPUT else error['msg']}"


def trace_of(traceback: TracebackType | None) -> str:
    """The innermost calls as ``file:line in function``, without reading source files (a batch may fail whole)."""
    places: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_OWN_FOLDER):
            places.append(f"{os.path.basename(code.co_filename)}:{traceback.tb_lineno} in {code.co_qualname}")  # noqa: PTH119 - pathlib costs import time
        traceback = traceback.tb_next
    return " > ".join(places[-_FRAMES:])[-_TEXT_LIMIT:]


_OWN_FOLDER: Final = os.path.dirname(__file__)  # noqa: PTH120 - pathlib costs import time


def drop_tracebacks(error: BaseException) -> None:
    """Cut an error, and up to a hundred that it carries, loose from the frames that they pin."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest and len(seen) < _CHAIN:
        each = rest.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        # The base class is asked, because a class of somebody's own may answer with anything.
        BaseException.with_traceback(each, None)
        rest += (_CAUSE(each), _CONTEXT(each))
        if isinstance(each, BaseExceptionGroup):
            rest += cast("BaseExceptionGroup[BaseException]", each).exceptions


_CAUSE: Final[Callable[[BaseException], BaseException | None]] = BaseException.__dict__["__cause__"].__get__
_CONTEXT: Final[Callable[[BaseException], BaseException | None]] = BaseException.__dict__[
    "__context__"
].__get__
