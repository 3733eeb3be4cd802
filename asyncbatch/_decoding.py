"""Payload decoding: strict base64 and JSON. Pure functions."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any


def decode_base64(text: str) -> bytes:
    """Decode base64, refusing characters outside its alphabet.

    The default of the standard library drops such characters, so that ``e3$$0=`` would silently become ``{}``.

    Raises:
        binascii.Error: the text is not base64.
    """
    return base64.b64decode(text, validate=True)


def decode_json(text: str | bytes) -> Any:
    """Decode a JSON text.

    Raises:
        ValueError: the text is not JSON. The error does not carry the text (`json.JSONDecodeError` would).
    """
    json = _json()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"the payload is not JSON: {error.msg}, at line {error.lineno} column {error.colno}"
    except UnicodeDecodeError as error:
        problem = f"the payload is not {error.encoding} text: {error.reason}, at byte {error.start}"
    raise ValueError(problem)


def encode_json(value: Any) -> bytes:
    """Encode a value as compact JSON."""
    text: str = _json().dumps(value, separators=(",", ":"))
    return text.encode()


@cache
def _json() -> Any:
    """The module. An import statement would cost a tenth of a microsecond for each payload."""
    import json  # noqa: PLC0415 - most cold starts need none of it

    return json
