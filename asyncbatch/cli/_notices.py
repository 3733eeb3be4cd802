"""The package's own warnings during an invocation, kept to be shown beside its outcomes."""

import contextlib
import logging
from collections.abc import Generator


class _Collector(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())


@contextlib.contextmanager
def collected_notices() -> Generator[list[str]]:
    """Collect what `asyncbatch` logs in the block, unless the target configured logging itself."""
    logger = logging.getLogger("asyncbatch")
    notices: list[str] = []
    if logger.hasHandlers():
        yield notices
        return
    collector = _Collector(notices)
    logger.addHandler(collector)
    try:
        yield notices
    finally:
        logger.removeHandler(collector)
