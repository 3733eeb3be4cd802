"""The ledger, in which success is earned.

Every record starts as not succeeded. What a run did not mark did not succeed: an error in our own code can cost a
redelivery, never a record.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Container, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast, final

if TYPE_CHECKING:
    from types import TracebackType


class FailureReason(Enum):
    """Why a record that was started did not succeed."""

    RAISED = "raised"
    """The handler raised."""
    CANCELLED = "cancelled"
    """The handler, or something it awaited, was cancelled, and not by the engine."""
    TIMED_OUT = "timed-out"
    """It took longer than ``record_timeout``."""
    DEADLINE = "deadline"
    """It was unfinished when the batch had to be sealed: at the deadline, or because the run was stopped."""
    REFUSED = "refused"
    """The handler returned an awaitable or a generator: a forgotten ``await``."""
    INVALID_PAYLOAD = "invalid-payload"
    """The payload does not fit the ``model``."""


class SkipReason(Enum):
    """Why a record was not started."""

    LANE_HALTED = "lane-halted"
    """An earlier record of its lane did not succeed."""
    BATCH_HALTED = "batch-halted"
    """An earlier record of the batch did not succeed."""
    DEADLINE = "deadline"
    """The time for starting records was used up."""
    STOPPED = "stopped"
    """The run was stopped: interrupted, cancelled, or its event loop was."""


@final
class Failure:
    """What the ledger keeps of a failed record."""

    __slots__ = ("error", "message", "reason", "trace")

    def __init__(
        self, reason: FailureReason, error: BaseException | None, message: str, trace: str = ""
    ) -> None:
        self.reason = reason
        self.error = error
        self.message = message
        self.trace = trace


# Bounds of what is kept and logged: ten failures with the place they were raised at, 1 KiB a text.
TRACED_FAILURES: Final = 10
_TEXT_LIMIT: Final = 1024
_FRAMES: Final = 8
_CHAIN: Final = 100


@final
class Ledger:
    """Who succeeded, in the batch's positions.

    The whole mutable state of a run's outcomes:

    - ``succeeded``: 1 where success was earned; everything else did not succeed. One line of the package writes
      it, where a handler has returned (`Run`);
    - ``started``, ``ended``: clock readings, or None;
    - ``failures``: what went wrong, by position; it outweighs a success;
    - ``skips``: why a record was held back, by position;
    - ``result``: the copy that `seal` takes. Whatever is written later, by a handler that does not end, counts
      for nothing.
    """

    __slots__ = ("ended", "failures", "result", "skips", "started", "succeeded")

    def __init__(self, size: int) -> None:
        self.succeeded: list[int] = [0] * size
        self.started: list[float | None] = [None] * size
        self.ended: list[float | None] = [None] * size
        self.failures: dict[int, Failure] = {}
        self.skips: dict[int, SkipReason] = {}
        self.result: bytes | None = None

    def earned(self, position: int) -> bool:
        """Whether a record has succeeded."""
        return self.succeeded[position] == 1 and position not in self.failures

    def fail(
        self,
        position: int,
        reason: FailureReason,
        error: BaseException | None = None,
        message: str = "",
    ) -> None:
        """Note why a record failed; the first reason stands."""
        if position in self.failures:
            return
        trace = ""
        if error is not None:
            message = message or describe(error)
            if len(self.failures) < TRACED_FAILURES and reason is FailureReason.RAISED:
                trace = _trace(error.__traceback__)
        self.failures[position] = Failure(reason, error, message or reason.value, trace)
        if error is not None:
            drop_tracebacks(error)

    def skip(self, position: int, reason: SkipReason) -> None:
        """Note why a record will not be started; the first reason stands."""
        self.skips.setdefault(position, reason)

    def seal(self, left: SkipReason) -> bytes:
        """Take the result: what is unfinished fails, what was not started is skipped for the reason given.

        Returns:
            1 for every record that succeeded. Sealing again changes nothing.
        """
        if self.result is None:
            self.result = bytes(self.succeeded)
            if 0 in self.result or self.failures:
                self.result = self._settle(left)
        return self.result

    def _settle(self, left: SkipReason) -> bytes:
        settled = bytearray(self.succeeded)
        for position in list(self.failures):  # a handler in a thread that was left behind may still fail
            settled[position] = 0
        for position, done in enumerate(settled):
            if done or position in self.failures or position in self.skips:
                continue
            if self.started[position] is None:
                self.skips[position] = left
            else:
                self.failures[position] = _UNFINISHED
        return bytes(settled)


_UNFINISHED: Final = Failure(FailureReason.DEADLINE, None, "unfinished when the batch was sealed", "")


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


# --- texts about errors: bounded, and never raising ---------------------------------------------------


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


def _trace(traceback: TracebackType | None) -> str:
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
