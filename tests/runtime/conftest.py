"""AWS's programs around functions that are written with asyncbatch."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from asyncbatch.testing import InvocationResult, RuntimeProcess, sqs_event

FUNCTIONS = Path(__file__).parent / "functions"


class Function:
    """A function under AWS's runtime client, with what these tests ask of it."""

    def __init__(self, process: RuntimeProcess) -> None:
        self.process = process
        self._batches = 0

    def send(self, *orders: object, timeout: float = 3.0) -> "Batch":
        """Invoke it with one SQS message per order."""
        self._batches += 1  # the seed: no identifier of one batch is in another
        event = sqs_event(orders, seed=self._batches)
        ids = [record["messageId"] for record in event["Records"]]
        return Batch(ids, self.process.invoke(event, timeout=timeout))

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What its handlers have printed so far."""
        lines = self.process.stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


class Batch:
    """What was sent, and how it ended."""

    def __init__(self, ids: list[str], result: InvocationResult) -> None:
        self.result = result
        self._ids = ids

    @property
    def failed(self) -> list[int]:
        """Positions of the records that the reply names; a test fails here if there was none."""
        assert self.result.replied, self.result
        failures = self.result.payload["batchItemFailures"]
        return [self._ids.index(each["itemIdentifier"]) for each in failures]


@pytest.fixture
def start() -> Iterator[Callable[..., Function]]:
    """Start functions; they are ended with the test."""
    with contextlib.ExitStack() as exits:

        def start_one(handler: str, **options: Any) -> Function:
            options.setdefault("path", FUNCTIONS)
            return Function(exits.enter_context(RuntimeProcess(handler, **options)))

        yield start_one


class Backend(http.server.ThreadingHTTPServer):
    """An HTTP server that keeps connections, and closes the idle ones when it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close_idle(self) -> None:
        """Close every connection, as servers do after a while; the client is told (FIN)."""
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about clients that are gone."""


class _Connection(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        cast("Backend", self.server).connections.append(self.connection)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        cast("Backend", self.server).requests.append(body)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
