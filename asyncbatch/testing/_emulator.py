"""AWS's Runtime Interface Emulator around a function: the Runtime API that AWS wrote itself.

The emulator is a program of its own, ``aws-lambda-rie``; the wheel of `aws-sam-cli` holds it. It
takes one request at a time and fails for good on a second one, so this class sends one at a time.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from asyncbatch.testing._runtime_process import RuntimeProcessError, lambda_environment

_PATH: Final = "/2015-03-31/functions/function/invocations"
"""Whatever the function is called."""
_START: Final = 10.0
_END: Final = 2.0
"""Seconds that the emulator gets to end its runtime and itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorResult:
    """What the emulator answered.

    Attributes:
        status: The HTTP status; 502 when the runtime has ended.
        payload: The function's reply, decoded from JSON; text where it is none (a timeout).
    """

    status: int
    payload: Any

    @property
    def failed(self) -> bool:
        """Whether the invocation failed; the emulator has no header that says so."""
        if self.status != HTTPStatus.OK or isinstance(self.payload, str):
            return True
        reply: Any = self.payload
        return isinstance(reply, dict) and "errorType" in reply and "errorMessage" in reply


class RuntimeEmulator:
    """The emulator with one function; a context manager.

    Args:
        handler: ``module.function``.
        binary: The emulator's program.
        path: The folder with the module.
        timeout: Whole seconds that the function gets; the first invocation's start-up counts.
        environment: More environment variables.
        python: The interpreter, with `awslambdaric` in it.
    """

    def __init__(
        self,
        handler: str,
        *,
        binary: Path,
        path: Path,
        timeout: int = 3,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self._port, api_port = _free_ports(2)
        self._command = [
            str(binary),
            *("--log-level", "error"),
            *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
            *("--runtime-api-address", f"127.0.0.1:{api_port}"),
            *(python, "-m", "awslambdaric", handler),
        ]
        self._environment = {
            **lambda_environment("test", path),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            **(environment or {}),
        }
        self._timeout = timeout
        self._one_at_a_time = threading.Lock()
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the emulator and wait until it listens.

        Raises:
            RuntimeProcessError: It has ended, or does not listen in time.
        """
        with contextlib.ExitStack() as exits:
            self._log = exits.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(  # noqa: S603 - the command is the test's own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
            exits.callback(self._stop)
            self._wait_until_it_listens()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the emulator and its runtime."""
        self._exits.close()

    def invoke(self, event: object) -> EmulatorResult:
        """Send an event and return the answer; a second caller waits for the first.

        Raises:
            RuntimeProcessError: The emulator does not answer.
        """
        with self._one_at_a_time:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout + _START)
            try:
                connection.request("POST", _PATH, json.dumps(event))
                answer = connection.getresponse()
                text = answer.read().decode()
            except OSError as error:
                problem = "the emulator does not answer"
                raise RuntimeProcessError(problem, self.log[-2000:]) from error
            finally:
                connection.close()
        try:
            return EmulatorResult(status=answer.status, payload=json.loads(text))
        except ValueError:
            return EmulatorResult(status=answer.status, payload=text)

    @property
    def log(self) -> str:
        """What the emulator and the function have written."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def _wait_until_it_listens(self) -> None:
        # There is no health path: a connection is the sign.
        end = time.monotonic() + _START
        while self._process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeProcessError("the emulator does not listen", self.log[-2000:])

    def _stop(self) -> None:
        # The runtime is in the emulator's session but in a process group of its own.
        runtimes = _members(self._process.pid)
        self._process.terminate()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in runtimes:
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) == self._process.pid:
                    os.kill(pid, signal.SIGKILL)


def _members(session: int) -> list[int]:
    """Return the other processes of a session (Linux, as the emulator itself)."""
    found = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [pid for pid in found if pid != session and _session_of(pid) == session]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as exits:
        sockets = [exits.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
