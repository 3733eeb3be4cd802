"""Read events from files: JSON, JSON Lines, or several JSON documents one after another."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from asyncbatch.cli._exits import InputError

STDIN = "-"


class NamedEvent(NamedTuple):
    """An event, and where it came from: `orders.jsonl:3`."""

    origin: str
    event: object


def read_events(file: str) -> list[NamedEvent]:
    """Return the events of a file.

    Args:
        file: A path, or `-` for standard input.

    Raises:
        InputError: The file cannot be read, holds no event, or holds what is not JSON.
    """
    name = "standard input" if file == STDIN else file
    found = list(_documents(_read(file, name), name))
    if not found:
        raise InputError(f"{name} holds no event. Try: asyncbatch sample sqs > {_suggested(file)}")
    if len(found) == 1:
        return [NamedEvent(name, found[0][1])]
    return [NamedEvent(f"{name}:{line}", event) for line, event in found]


def _read(file: str, name: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start}).") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}.") from error


def _documents(text: str, name: str) -> Iterator[tuple[int, object]]:
    """Yield each JSON document of `text` with the number of the line where it starts."""
    decoder = json.JSONDecoder()
    position = _skip_space(text, 0)
    line = 1 + text.count("\n", 0, position)
    while position < len(text):
        try:
            event, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{name}: the event that starts in line {line} is not JSON: "
                f"{error.msg} (line {error.lineno}, column {error.colno})."
            ) from error
        except RecursionError as error:
            raise InputError(
                f"{name}: the event that starts in line {line} is nested too deep to read."
            ) from error
        yield line, event
        following = _skip_space(text, end)
        line += text.count("\n", position, following)
        position = following


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _suggested(file: str) -> str:
    return "event.json" if file == STDIN else file
