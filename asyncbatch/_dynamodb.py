"""DynamoDB's typed values as plain Python values. Loaded when a record of a stream is looked into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Clamped, Context, Decimal, Inexact, Overflow, Rounded, Underflow
from typing import Any, Final

from asyncbatch._decoding import decode_base64

_DIGITS: Final = 38
# DynamoDB numbers have up to 38 significant digits, exponents from -130 to 125; a number that does
# not fit raises instead of being rounded.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_DYNAMODB_NUMBERS = Context(
    Emin=-128, Emax=126, prec=_DIGITS, traps=[Clamped, Overflow, Inexact, Rounded, Underflow]
)
# Longer than any number that DynamoDB writes; what is longer still is refused like any other excess.
_ANY_LENGTH: Final = Context(prec=200, traps=[Inexact])


def _same(value: Any) -> Any:
    return value


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if len(number.as_tuple().digits) > _DIGITS:
        # DynamoDB writes 1E+50 with all of its zeros, which are no digits of precision. Other numbers stay as they
        # are written: 100 must not be shown as 1E+2.
        number = number.normalize(_ANY_LENGTH)
    return _DYNAMODB_NUMBERS.create_decimal(number)


def _numbers(values: list[str]) -> set[Decimal]:
    return {_number(value) for value in values}


def _binaries(values: list[str]) -> set[bytes]:
    return {decode_base64(value) for value in values}


# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_AttributeValue.html
_PLAIN_TYPES: dict[str, Callable[[Any], Any]] = {
    "S": _same,
    "N": _number,
    "BOOL": _same,
    "NULL": lambda _: None,
    "SS": set,
    "NS": _numbers,
}
_BINARY_TYPES: dict[str, Callable[[Any], Any]] = {"B": decode_base64, "BS": _binaries}
_ENCODED_BINARY_TYPES: dict[str, Callable[[Any], Any]] = {"B": _same, "BS": set}


def decode_attribute(value: Mapping[str, Any], *, binary: bool = True) -> Any:
    """Turn one DynamoDB attribute value, ``{"N": "1"}``, into a plain Python value.

    Args:
        value: The typed value: a mapping with one entry, type to content.
        binary: Decode ``B`` and ``BS`` to bytes; otherwise they stay base64 text, as the event has them.

    Raises:
        TypeError: the type is unknown.
        decimal.DecimalException: a number has more than DynamoDB's 38 digits.
    """
    ((kind, content),) = value.items()
    if kind == "M":
        return decode_image(content, binary=binary)
    if kind == "L":
        return [decode_attribute(each, binary=binary) for each in content]
    decoders = _BINARY_TYPES if binary else _ENCODED_BINARY_TYPES
    decode = _PLAIN_TYPES.get(kind) or decoders.get(kind)
    if decode is None:
        # Four letters are the longest type's; what is longer may be a word of the payload.
        message = f"Dynamodb type {kind:.4} is not supported"
        raise TypeError(message)
    return decode(content)


def decode_image(image: Mapping[str, Any], *, binary: bool = True) -> dict[str, Any]:
    """Turn a DynamoDB image, attribute name to typed value, into a plain dict (numbers are `Decimal`)."""
    return {name: decode_attribute(value, binary=binary) for name, value in image.items()}
