"""A Lambda Runtime API on 127.0.0.1: what the runtime client of a Lambda function asks for events.

The rules are AWS's (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) and those that
AWS's own client, `awslambdaric`, was seen to need: a result is answered with 202, an event must
have the content type ``application/json`` and nothing else in it, connections are kept.
"""

from __future__ import annotations

import http.server
import json
import select
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, cast

from asyncbatch.testing._events import ACCOUNT

_PREFIX: Final = "/2018-06-01/runtime"
_PATIENCE: Final = 0.05
"""Seconds between two looks at a connection that waits for an event: has its client gone?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply:
    """What a runtime posts when an invocation or its start failed.

    Attributes:
        type: The exception's class name, or ``Runtime.…``.
        message: Its text.
        stack_trace: Its traceback, a text per frame.
    """

    type: str
    message: str
    stack_trace: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationResult:
    """How an invocation ended: with a payload, an error, or no reply at all.

    Attributes:
        request_id: The invocation's identifier.
        payload: What the function returned, decoded from JSON (bytes, where it was none); None
            without a reply.
        error: What the runtime reported instead; None otherwise.
        timed_out: Whether the deadline passed without a reply.
        exit_code: With what the process ended during the invocation; -1 for a forked worker, whose
            code its parent keeps; None if it lives.
        duration: Seconds from the event's delivery to the end.
    """

    request_id: str
    payload: Any = None
    error: ErrorReply | None = None
    timed_out: bool = False
    exit_code: int | None = None
    duration: float = 0.0

    @property
    def replied(self) -> bool:
        """Whether the function returned; else every event source sends the batch again."""
        return self.error is None and not self.timed_out and self.exit_code is None


@dataclass(slots=True, kw_only=True, eq=False)
class Invocation:
    """An event on its way to a runtime and back.

    Attributes:
        event: The event, as JSON.
        timeout: Seconds that the function gets, from the event's delivery.
        request_id: The identifier.
        delivered: When a runtime took the event (monotonic seconds); None before.
        ended: When its reply came, or its connection was lost; None before.
        payload: The reply.
        error: The error that was reported instead.
        lost: Whether the runtime that took it went away.
    """

    event: bytes
    timeout: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    delivered: float | None = None
    ended: float | None = None
    payload: Any = None
    error: ErrorReply | None = None
    lost: bool = False


class RuntimeApi:
    """The server. Runtimes that ask for an event wait until `offer` gives one.

    Use it as a context manager; it listens on a free port of 127.0.0.1.

    Args:
        function_name: The function's name, for the ARN that it is told.
    """

    def __init__(self, *, function_name: str = "test") -> None:
        self.init_errors: list[ErrorReply] = []
        """What runtimes have reported while they started."""
        self.restored: int = 0
        """How many runtimes have asked to be restored from a snapshot."""
        self._arn = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{function_name}"
        self._changed = threading.Condition()
        self._closing = False
        self._waiting = 0
        self._queue: deque[Invocation] = deque()
        self._open: dict[str, Invocation] = {}
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="asyncbatch-runtime-api",
            daemon=True,
        )

    @property
    def address(self) -> str:
        """The value for ``AWS_LAMBDA_RUNTIME_API``."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let every waiting runtime go, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # --- for tests
    # -----------------------------------------------------------------------------------

    def offer(self, event: object, *, timeout: float) -> Invocation:
        """Give an event to the next runtime that asks for one.

        Args:
            event: What JSON can hold; bytes as they are.
            timeout: Seconds that the function gets, from the event's delivery.
        """
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        invocation = Invocation(event=body, timeout=timeout)
        with self._changed:
            self._queue.append(invocation)
            self._changed.notify_all()
        return invocation

    def withdraw(self, invocation: Invocation) -> None:
        """Forget an invocation; a late reply to it is answered and dropped."""
        with self._changed:
            if invocation in self._queue:
                self._queue.remove(invocation)
            self._open.pop(invocation.request_id, None)

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until `condition` is true or `timeout` seconds have passed; tell which.

        The condition is looked at after every request and at least ten times a second.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.1))
        return True

    @property
    def waiting(self) -> int:
        """How many runtimes wait for an event now."""
        return self._waiting

    # --- for the connections
    # -------------------------------------------------------------------------

    def take(self, connection: socket.socket) -> Invocation | None:
        """Wait for an event, as long as the client at the other end lives."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            try:
                while not self._closing and not _is_gone(connection):
                    if self._queue:
                        invocation = self._queue.popleft()
                        self._open[invocation.request_id] = invocation
                        invocation.delivered = time.monotonic()
                        return invocation
                    self._changed.wait(_PATIENCE)
                return None
            finally:
                self._waiting -= 1
                self._changed.notify_all()

    def end(
        self,
        request_id: str,
        *,
        payload: object = None,
        error: ErrorReply | None = None,
        lost: bool = False,
    ) -> bool:
        """Note how an invocation ended; tell whether it was open."""
        with self._changed:
            invocation = self._open.pop(request_id, None)
            if invocation is None:
                return False
            invocation.payload = payload
            invocation.error = error
            invocation.lost = lost
            invocation.ended = time.monotonic()
            self._changed.notify_all()
        return True

    def note_init_error(self, error: ErrorReply) -> None:
        """Note that a runtime could not start."""
        with self._changed:
            self.init_errors.append(error)
            self._changed.notify_all()

    def note_restore(self) -> None:
        """Note that a runtime has asked to be restored."""
        with self._changed:
            self.restored += 1
            self._changed.notify_all()

    def headers(self, invocation: Invocation) -> dict[str, str]:
        """Return what a runtime is told beside the event."""
        return {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + invocation.timeout) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
        }


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: a runtime that dies in the middle of a request is what tests are about."""


class _Connection(http.server.BaseHTTPRequestHandler):
    """One kept connection of a runtime."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _api(self) -> RuntimeApi:
        return cast("_Server", self.server).api

    def setup(self) -> None:
        self._request_id = ""
        super().setup()

    def finish(self) -> None:
        """Note that the runtime has gone; what it had not answered is lost."""
        self._api.end(self._request_id, lost=True)
        super().finish()

    def do_GET(self) -> None:
        match self.path.removeprefix(_PREFIX):
            case "/invocation/next":
                self._next()
            case "/restore/next":
                self._api.note_restore()
                self._answer(HTTPStatus.OK)
            case _:
                self._answer(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # its process was killed while it posted: that is no reply
            self.close_connection = True
            return
        match self.path.removeprefix(_PREFIX).split("/")[1:]:
            case ["invocation", request_id, "response"]:
                known = self._api.end(request_id, payload=_decode(body))
                self._answer(HTTPStatus.ACCEPTED if known else HTTPStatus.BAD_REQUEST)
            case ["invocation", request_id, "error"]:
                known = self._api.end(request_id, error=_error(body))
                self._answer(HTTPStatus.ACCEPTED if known else HTTPStatus.BAD_REQUEST)
            case ["init" | "restore", "error"]:
                self._api.note_init_error(_error(body))
                self._answer(HTTPStatus.ACCEPTED)
            case _:
                self._answer(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Stay silent."""

    def _next(self) -> None:
        invocation = self._api.take(self.connection)
        if invocation is None:
            self.close_connection = True
            return
        self._request_id = invocation.request_id
        self._answer(HTTPStatus.OK, invocation.event, self._api.headers(invocation))

    def _answer(self, status: HTTPStatus, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        # Exactly this: awslambdaric hands raw bytes to the handler for any other text.
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _is_gone(connection: socket.socket) -> bool:
    """Whether the other end has closed: it has nothing to say while it waits for an event."""
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable)


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def _error(body: bytes) -> ErrorReply:
    reply: Any = _decode(body)
    try:
        return ErrorReply(
            type=str(reply["errorType"]),
            message=str(reply["errorMessage"]),
            stack_trace=tuple(map(str, reply.get("stackTrace") or ())),
        )
    except (TypeError, KeyError):
        return ErrorReply(type="", message=repr(reply))
