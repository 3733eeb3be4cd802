"""What hooks and limits raise: they decide nothing, and the run goes on as if they had returned."""

from __future__ import annotations

from typing import Final, final

from asyncbatch._failure_texts import describe, trace_of
from asyncbatch._log import Log
from asyncbatch._raised import is_ctrl_c

logger: Final = Log("asyncbatch")


@final
class Contained:
    """What hooks and limits have raised in one run: the first exception of each is logged, the others are counted.

    A hook that raises for each of 10,000 records would otherwise write as many traces, and take seconds of the
    time until the deadline.
    """

    __slots__ = ("_again",)

    def __init__(self) -> None:
        self._again: dict[str, int] = {}
        """By who raised: how many more times than once."""

    def takes(self, who: str, event: str, error: BaseException) -> bool:
        """Take note of an exception.

        Args:
            who: Who raised it.
            event: On what occasion, or what follows from it: text for the log.
            error: The exception.

        Returns:
            Whether that is all; if not, it is a Ctrl-C outside Lambda, which has to be raised again.
        """
        if is_ctrl_c(error):
            return False
        if who in self._again:
            self._again[who] += 1
            return True
        self._again[who] = 0
        trace = trace_of(error)
        logger.error("%s raised%s: %s%s", who, event, describe(error), f" ({trace})" if trace else "")
        return True

    def tell_the_rest(self) -> None:
        """At the end of the run: say in one line how many exceptions were not logged."""
        counts = [f"{who} raised {count:,} more" for who, count in self._again.items() if count]
        self._again.clear()
        if counts:
            logger.error("only the first exception of each was logged: %s", ", ".join(counts))
