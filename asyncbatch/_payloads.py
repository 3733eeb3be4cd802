"""``model=``: payloads read by Pydantic, loaded when an engine has a model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

from asyncbatch._errors import InvalidOptionError
from asyncbatch._records import Payload


def payload_reader(model: Any) -> Payload:
    """How a model reads payloads.

    JSON text is validated as text: decoding it first and validating the result takes about twice as long.

    Args:
        model: A Pydantic model, or any type that `pydantic.TypeAdapter` takes.

    Raises:
        InvalidOptionError: pydantic is not installed, or cannot make a validator for this type.
    """
    try:
        from pydantic import TypeAdapter  # noqa: PLC0415 - loads when a feature that needs it is used
        from pydantic.errors import PydanticUserError  # noqa: PLC0415 - loads when a feature that needs it is used
    except ImportError:
        raise InvalidOptionError(
            "model", "needs pydantic, which is not installed", 'pip install "asyncbatch[pydantic]"'
        ) from None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(model)
    except PydanticUserError as error:
        raise InvalidOptionError("model", f"is no type that pydantic can validate ({error})") from error
    return Payload(adapter.validate_json, adapter.validate_python, cache(partial(_names, adapter)))


def _names(adapter: Any) -> frozenset[str]:
    """The names of fields, at whatever depth; none where pydantic cannot describe the type."""
    try:
        return frozenset(_properties(adapter.json_schema()))
    except Exception:  # noqa: BLE001 - only an error message is the poorer for it
        return frozenset()


def _properties(schema: Any) -> Iterator[str]:
    if hasattr(schema, "items"):
        yield from schema.get("properties", {})
        schema = list(schema.values())
    if hasattr(schema, "append"):
        for part in schema:
            yield from _properties(part)
