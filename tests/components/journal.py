"""What functions have noted of their records, and the laws about it."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest


@dataclass(frozen=True)
class Note:
    """That a record's handler began, or was done, in which invocation."""

    what: Literal["began", "done"]
    name: str
    invocation: str


class Journal:
    """The file that the functions append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def read(self) -> list[Note]:
        return [Note(**json.loads(line)) for line in self.path.read_text().splitlines()]

    def names(self, what: Literal["began", "done"]) -> Counter[str]:
        """How often each record was begun or done."""
        return Counter(note.name for note in self.read() if note.what == what)

    def began_together(self, name: str) -> list[set[str]]:
        """Per invocation that began this record: all that it began."""
        notes = [note for note in self.read() if note.what == "began"]
        invocations = [note.invocation for note in notes if note.name == name]
        return [{note.name for note in notes if note.invocation == each} for each in invocations]

    def out_of_order(self, lanes: Mapping[str, Sequence[str]]) -> list[Note]:
        """Where a record was begun although one before it in its lane was not done.

        Not done at all for the first of a lane in an invocation: what was done in earlier ones may
        come again, from any place on. Not done in this very invocation for the ones that follow.
        """
        places = {name: (lane, place) for lane, names in lanes.items() for place, name in enumerate(names)}
        ever = dict.fromkeys(lanes, 0)  # how many of a lane's first records are done
        last: dict[tuple[str, str], tuple[int, bool]] = {}  # per invocation and lane: where it is, done?
        wrong: list[Note] = []
        for note in self.read():
            lane, place = places[note.name]
            at = note.invocation, lane
            if note.what == "began":
                allowed = last[at] == (place - 1, True) if at in last else place <= ever[lane]
                wrong += [] if allowed else [note]
            elif place == ever[lane]:
                ever[lane] += 1
            last[at] = place, note.what == "done"
        return wrong

    def missing(self, names: Iterable[str]) -> set[str]:
        """Records whose handler was never done."""
        return set(names) - self.names("done").keys()


def in_turns(lanes: Mapping[str, Sequence[str]]) -> list[str]:
    """The first of every lane, then the second of every lane, and so on."""
    return [name for turn in zip(*lanes.values(), strict=True) for name in turn]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 25.0) -> None:
    """Look again and again, until the condition holds or a long time has passed."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"{what}: not after {seconds:g} s")
        time.sleep(0.02)
