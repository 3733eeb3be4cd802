"""The same functions and messages in simulation: what a real server does where it follows AWS, that does too."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from journal import Journal

from asyncbatch.testing import SqsFifoMapping, SqsMapping


class Simulation:
    """Lets a simulated queue live through what a real one has."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal = Journal(path)
        monkeypatch.setenv("JOURNAL", str(path))

    def queue(self, function: Any, messages: Iterable[tuple[object, str | None]], **options: Any) -> Any:
        """Send what JSON can hold, each with its message group (None in a standard queue), to a queue's end."""
        messages = list(messages)
        fifo = any(group is not None for _, group in messages)
        with (SqsFifoMapping if fifo else SqsMapping)(function, **options) as mapping:
            for body, group in messages:
                mapping.send(json.dumps(body), **({} if group is None else {"group": group}))
            return mapping.run()


def dead_letters(mapping: Any) -> list[str]:
    return [json.loads(label)["name"] for label in mapping.dead_letters]
