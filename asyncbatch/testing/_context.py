"""A Lambda context whose time runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from asyncbatch.testing._events import ACCOUNT


class LambdaContext:
    """What Lambda passes as ``context``, with a remaining time that runs out.

    Args:
        timeout: Seconds until the deadline, from now.
        function_name: The function's name; its ARN and its log group hold it too.
        aws_request_id: The invocation's identifier.
        memory: The function's memory in MB.
        clock: What tells the time in seconds; a virtual loop's ``time``, say.
    """

    def __init__(
        self,
        timeout: float = 30.0,
        *,
        function_name: str = "test",
        aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        memory: int = 128,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._deadline = clock() + timeout
        self.function_name = function_name
        self.function_version = "$LATEST"
        self.invoked_function_arn: str = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{function_name}"
        self.memory_limit_in_mb: str = str(memory)  # the real runtime has text here, too
        self.aws_request_id = aws_request_id
        self.log_group_name: str = f"/aws/lambda/{function_name}"
        self.log_stream_name: str = "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef"
        self.identity: None = None
        self.client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Return the whole milliseconds left until the deadline, 0 after it."""
        return max(0, int((self._deadline - self._clock()) * 1000))

    def __repr__(self) -> str:
        left = self.get_remaining_time_in_millis()
        return f"<LambdaContext {self.function_name} with {left} ms left>"
