"""Payload decoding: strict, and silent about the payload in its errors."""

import binascii
import decimal
import json
from decimal import Decimal
from typing import Any

import pytest

from asyncbatch._decoding import decode_base64, decode_json
from asyncbatch._dynamodb import decode_attribute, decode_image


def test_base64_is_decoded() -> None:
    assert decode_base64("eyJhIjoxfQ==") == b'{"a":1}'


@pytest.mark.parametrize("text", ["e3$$0=", "e30", "e3 0=", "e30=\n", "é"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # binascii.Error is one
        decode_base64(text)


def test_junk_in_base64_does_not_vanish() -> None:
    # The standard library's default drops the junk and finds an empty JSON object.
    with pytest.raises(binascii.Error):
        decode_base64("e3$$0=")


@pytest.mark.parametrize("text", ['{"a": [1, null]}', b'{"a": [1, null]}'], ids=["text", "bytes"])
def test_json_is_decoded(text: str | bytes) -> None:
    assert decode_json(text) == {"a": [1, None]}


def test_a_json_error_names_the_place_but_not_the_payload() -> None:
    with pytest.raises(ValueError, match=r"not JSON: .*line 2 column 3") as caught:
        decode_json('{"secret":\n  MARKER}')
    assert type(caught.value) is ValueError  # a JSONDecodeError would carry the text
    assert caught.value.__context__ is None
    assert "MARKER" not in repr(vars(caught.value)) + str(caught.value)


def test_an_encoding_error_names_the_place_but_not_the_payload() -> None:
    with pytest.raises(ValueError, match=r"not utf-8 text: .* at byte 6") as caught:
        decode_json(b'MARKER\xff"')
    assert type(caught.value) is ValueError  # a UnicodeDecodeError would carry the bytes
    assert caught.value.__context__ is None
    assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [("[" * 200_000, RecursionError), ("9" * 5_000, ValueError)],
    ids=["nested too deep", "more digits than an int may have"],
)
def test_hostile_json_raises_instead_of_crashing(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode_json(text)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ({"S": "x"}, "x"),
        ({"N": "1.50"}, Decimal("1.50")),
        ({"N": "-1E+125"}, Decimal("-1E+125")),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"B": "AQI="}, b"\x01\x02"),
        ({"SS": ["a", "b"]}, {"a", "b"}),
        ({"NS": ["1", "2"]}, {Decimal(1), Decimal(2)}),
        ({"BS": ["AQ==", "Ag=="]}, {b"\x01", b"\x02"}),
        ({"L": [{"S": "x"}, {"B": "AQ=="}]}, ["x", b"\x01"]),
        ({"M": {"a": {"M": {"b": {"N": "1"}}}}}, {"a": {"b": Decimal(1)}}),
    ],
)
def test_a_typed_value_becomes_a_plain_one(typed: dict[str, Any], plain: object) -> None:
    decoded = decode_attribute(typed)
    assert decoded == plain
    assert type(decoded) is type(plain)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ({"B": "AQI="}, "AQI="),
        ({"BS": ["AQ=="]}, {"AQ=="}),
        ({"L": [{"B": "AQ=="}]}, ["AQ=="]),
        ({"M": {"b": {"B": "AQ=="}}}, {"b": "AQ=="}),
    ],
)
def test_binary_values_may_stay_encoded(typed: dict[str, Any], plain: object) -> None:
    assert decode_attribute(typed, binary=False) == plain


def test_an_image_is_a_plain_dict() -> None:
    assert decode_image({"id": {"S": "x"}, "n": {"N": "1"}}) == {"id": "x", "n": Decimal(1)}


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(TypeError, match="Dynamodb type X is not supported"):
        decode_attribute({"X": 1})


@pytest.mark.parametrize("typed", [{}, {"S": "x", "N": "1"}])
def test_a_typed_value_has_one_type(typed: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        decode_attribute(typed)


@pytest.mark.parametrize("number", ["100", "1.50", "1700000000000", "-0.10", "0"])
def test_a_number_is_shown_as_it_is_written(number: str) -> None:
    assert str(decode_attribute({"N": number})) == number


@pytest.mark.parametrize("number", ["1" * 39, "1E+200", "1E-200"])
def test_a_number_that_does_not_fit_raises_instead_of_being_rounded(number: str) -> None:
    with pytest.raises(decimal.DecimalException):
        decode_attribute({"N": number})


def test_a_number_is_never_a_float() -> None:
    # 38 digits are DynamoDB's own precision; a float would keep 17.
    digits = "12345678901234567890123456789012345678"
    assert decode_attribute({"N": digits}) == Decimal(digits) == Decimal(json.loads(digits))


def test_trailing_zeros_are_no_digits() -> None:
    # DynamoDB writes 1E+50 as a one and fifty zeros.
    assert decode_attribute({"N": "1" + "0" * 50}) == Decimal("1E+50")
    assert decode_attribute({"NS": ["12" + "0" * 60]}) == {Decimal("1.2E+61")}
