"""Logging that costs no reply.

When something is logged, records have been processed and the reply is still to be made. What takes part in logging
(a handler, a filter or a formatter of the user's) may raise all the same: the handler of Lambda's runtime does at
text that UTF-8 cannot hold. So the text is made encodable and bounded here, and whatever is raised ends here.
"""

from __future__ import annotations

import logging
from typing import Final, final

from asyncbatch._failure_texts import bounded
from asyncbatch._raised import is_ctrl_c

# The largest text of ours, the summary of a batch, has about 20 KiB.
_TEXT_LIMIT: Final = 32_768
_ABOVE_LOG: Final = 3  # calls from `logging` up to whoever called a method of `Log`


@final
class Log:
    """A logger that never raises anything, but for a Ctrl-C outside Lambda.

    Args:
        name: The logger's name.
    """

    def __init__(self, name: str) -> None:
        self._logger: Final = logging.getLogger(name)

    def debug(self, text: str, *values: object) -> None:
        """Log for whoever looks for the cause of something."""
        self._write(logging.DEBUG, text, values)

    def info(self, text: str, *values: object) -> None:
        """Log what nobody needs to act on."""
        self._write(logging.INFO, text, values)

    def warning(self, text: str, *values: object) -> None:
        """Log what somebody should look at."""
        self._write(logging.WARNING, text, values)

    def error(self, text: str, *values: object) -> None:
        """Log a mistake in the user's code that the outcomes of records do not show."""
        self._write(logging.ERROR, text, values)

    def _write(self, level: int, text: str, values: tuple[object, ...]) -> None:
        try:
            if self._logger.isEnabledFor(level):
                whole = text % values if values else text
                self._logger.log(level, bounded(whole, _TEXT_LIMIT), stacklevel=_ABOVE_LOG)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
