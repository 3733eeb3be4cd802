"""Which exceptions say that too much was in flight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from asyncbatch._raised import cause_of, is_ctrl_c, members_of, type_name

# What botocore itself takes for throttling (botocore/retries/standard.py, ThrottledRetryableChecker), and by their
# API references: SQS's OverLimit and RequestThrottled, KMS's, S3's ServiceUnavailable.
THROTTLING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
        "KmsThrottled",
        "KMS.ThrottlingException",
        "OverLimit",
        "ServiceUnavailable",
    }
)
# 429 Too Many Requests (RFC 6585), 503 Service Unavailable (RFC 9110), 504 Gateway Timeout (RFC 9110).
_STATUSES: Final = frozenset({429, 503, 504})
# Errors carry others, and a chain may be a circle.
_CHAIN: Final = 10


def is_overload(error: BaseException) -> bool:
    """Whether an exception is a timeout or a throttled request; the default of every limit's ``drops``.

    Also what it was raised ``from``, and the members of a group. Nobody's library is imported for it:

    - `TimeoutError`, which asyncio, anyio and sockets raise, and what is called ``...Timeout`` or
      ``...TimeoutError``, as those of botocore, aiohttp and httpx are;
    - botocore's ``ClientError`` with a code for throttling, or the status 429, 503 or 504;
    - an error with such a ``status``, ``status_code`` or ``response.status_code``: aiohttp's, httpx's.
    """
    return any(map(_says_overload, _chain(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    rest: list[BaseException | None] = [error]
    for _ in range(_CHAIN):
        each = rest.pop() if rest else None
        if each is None:
            return
        yield each
        rest += members_of(each)
        cause = cause_of(each)
        if cause is not None:
            rest.append(cause)


def _says_overload(error: BaseException) -> bool:
    if issubclass(type(error), TimeoutError) or type_name(error).endswith(
        ("Timeout", "TimeoutError", "TimeoutException")
    ):
        return True
    try:
        return _status(error) in _STATUSES or _code(error) in THROTTLING_CODES
    except BaseException as other:  # an error's own attributes may raise anything
        if is_ctrl_c(other):
            raise
        return False


def _code(error: BaseException) -> object:
    """The code of botocore's ``ClientError.response``."""
    response: Any = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return None
    answer = cast("Mapping[str, Any]", response)
    return answer.get("Error", {}).get("Code")


def _status(error: BaseException) -> object:
    response: Any = getattr(error, "response", None)
    if isinstance(response, Mapping):
        answer = cast("Mapping[str, Any]", response)
        return answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for owner in (error, response):
        for name in ("status", "status_code"):
            status: object = getattr(owner, name, None)
            if isinstance(status, int):
                return status
    return None
