"""Lambda's deadline: when a batch has to be sealed, so that the reply goes out in time."""

from __future__ import annotations

import math
from typing import Any, Final

from asyncbatch._errors import InvalidOptionError
from asyncbatch._log import Log
from asyncbatch._options import MARGIN_BOUNDS, MARGIN_SHARE

logger: Final = Log("asyncbatch")

_NUMBERS: Final = (int, float)
_INFINITE: Final = math.inf
# What is longer is taken for this: Python's threads cannot wait for 300 years, nor floats hold every whole number.
_LONGEST: Final = 1e9


def remaining_time(context: object) -> float | None:
    """Seconds until Lambda's deadline; None where the context (a test's, a scheduler's) does not tell."""
    tell: Any = getattr(context, "get_remaining_time_in_millis", None)
    milliseconds: Any = tell() if callable(tell) else None
    if type(milliseconds) not in _NUMBERS or not -_INFINITE < milliseconds < _INFINITE:
        return None
    seconds: float = milliseconds / 1000 if milliseconds < _LONGEST else min(milliseconds // 1000, _LONGEST)
    return seconds


def time_left(context: object, margin: float | None = None) -> tuple[float | None, float | None]:
    """Seconds until the batch must be sealed, and until Lambda's deadline; None without one.

    Args:
        context: Lambda's context; None for no deadline.
        margin: Seconds before the deadline at which the batch is sealed; None for a tenth of the remaining time,
            within bounds.
    """
    remaining = None if context is None else remaining_time(context)
    if remaining is None:
        return None, None
    return budget_of(remaining, margin), remaining


def budget_of(remaining: float, margin: float | None = None) -> float:
    """Seconds until the batch must be sealed.

    Args:
        remaining: Seconds until the deadline.
        margin: As for `time_left`.
    """
    if margin is None:
        margin = default_margin(remaining)
    if remaining <= margin:
        logger.warning(
            "%.3f s are left, not more than the deadline margin of %.3f s: no record is started. "
            "Give the function a longer timeout.",
            remaining,
            margin,
        )
        return 0.0
    return remaining - margin


def default_margin(remaining: float) -> float:
    """The margin where none was chosen, in seconds."""
    least, most = MARGIN_BOUNDS
    margin = remaining * MARGIN_SHARE
    return least if margin < least else min(margin, most)


def own_budget(deadline: float, margin: float) -> float:
    """Seconds until the batch must be sealed, for a deadline of the caller's own.

    Args:
        deadline: Seconds until the call has to return.
        margin: Seconds before that at which the batch is sealed. Nothing is posted to anybody, so that the grace
            is all that is needed.

    Raises:
        InvalidOptionError: the deadline is no number of seconds from 0 on.
    """
    number: Any = deadline  # it may be whatever the caller gave
    if not (isinstance(number, int | float) and number >= 0):
        raise InvalidOptionError(
            "deadline", f"must be a number of seconds from 0 on, but is {deadline!r:.50}"
        )
    return max(0.0, min(deadline, _LONGEST) - margin)
