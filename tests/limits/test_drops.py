"""Which exceptions mean that too much was in flight, of the libraries that handlers really use."""

import asyncio

import anyio
import botocore.exceptions
import pytest
import urllib3

from asyncbatch.limits import AIMDLimit, is_overload


def client_error(code, status=400):
    response = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(response, "GetItem")


class HTTPStatusError(Exception):
    """Shaped as httpx's."""

    def __init__(self, status):
        self.response = type("Response", (), {"status_code": status})()


class ClientResponseError(Exception):
    """Shaped as aiohttp's."""

    def __init__(self, status):
        self.status = status


class PoolTimeout(Exception):  # noqa: N818 - its name is the point
    """Named as httpx's."""


class HostileError(Exception):
    @property
    def response(self):
        raise RuntimeError("no")


def raised_from(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def circle():
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    return first


OVERLOAD = {
    "TimeoutError": TimeoutError(),
    "botocore, connecting": botocore.exceptions.ConnectTimeoutError(endpoint_url="https://example"),
    "botocore, reading": botocore.exceptions.ReadTimeoutError(endpoint_url="https://example"),
    "urllib3": urllib3.exceptions.ReadTimeoutError(None, "/", "slow"),
    "httpx, by name": PoolTimeout(),
    "DynamoDB": client_error("ProvisionedThroughputExceededException"),
    "any AWS service": client_error("ThrottlingException"),
    "Lambda": client_error("TooManyRequestsException", 429),
    "S3": client_error("SlowDown", 503),
    "unknown code, 429": client_error("Whatever", 429),
    "httpx, 429": HTTPStatusError(429),
    "httpx, 503": HTTPStatusError(503),
    "aiohttp, 429": ClientResponseError(429),
    "wrapped": raised_from(ValueError("order"), client_error("Throttling")),
    "in a group": ExceptionGroup("both", [ValueError(), TimeoutError()]),
    "in a group in a group": ExceptionGroup("all", [ExceptionGroup("both", [ValueError(), TimeoutError()])]),
    "a base group": BaseExceptionGroup("both", [KeyboardInterrupt(), TimeoutError()]),
}
OTHERS = {
    "ValueError": ValueError("no"),
    "a condition that did not hold": client_error("ConditionalCheckFailedException"),
    "not found": HTTPStatusError(404),
    "a server's error": HTTPStatusError(500),
    "refused": ConnectionRefusedError(),
    "no response": botocore.exceptions.EndpointConnectionError(endpoint_url="https://example"),
    "attributes that raise": HostileError(),
    "a circle of causes": circle(),
    "cancelled": asyncio.CancelledError(),
}


@pytest.mark.parametrize("case", OVERLOAD)
def test_timeouts_and_throttling_are_overload(case):
    assert is_overload(OVERLOAD[case])


@pytest.mark.parametrize("case", OTHERS)
def test_other_errors_are_not(case):
    assert not is_overload(OTHERS[case])


async def test_anyio_and_asyncio_timeouts_are_overload():
    with pytest.raises(TimeoutError) as anyios, anyio.fail_after(0):
        await asyncio.sleep(1)
    with pytest.raises(TimeoutError) as asyncios:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
    assert is_overload(anyios.value)
    assert is_overload(asyncios.value)


def test_all_throttling_codes_of_botocore_are_known():
    from botocore.retries.standard import ThrottledRetryableChecker

    for code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES:
        assert is_overload(client_error(code)), code


def test_whoever_makes_a_limit_says_what_a_drop_is():
    limit = AIMDLimit(drops=lambda error: isinstance(error, KeyError) or is_overload(error))
    assert limit.is_drop(KeyError())
    assert limit.is_drop(TimeoutError())
    assert not limit.is_drop(ValueError())


def test_a_deep_chain_is_not_followed_for_ever():
    error = TimeoutError()
    for _ in range(1_000):
        error = raised_from(ValueError(), error)
    assert not is_overload(error)


def test_ctrl_c_while_an_error_is_asked_for_its_status_comes_out_except_in_lambda(monkeypatch):
    class InterruptedStatusError(Exception):
        @property
        def status(self):
            raise KeyboardInterrupt

    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    assert not is_overload(InterruptedStatusError())
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    with pytest.raises(KeyboardInterrupt):
        is_overload(InterruptedStatusError())
