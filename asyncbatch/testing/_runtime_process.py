"""A Lambda execution environment on this machine: AWS's runtime client in a process of its own.

It can be frozen between invocations, as Lambda does, and is killed when it misses a deadline. It
needs `awslambdaric` in the interpreter that runs the function, and a POSIX system.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncbatch
from asyncbatch._errors import AsyncBatchError
from asyncbatch.testing._runtime_api import Invocation, InvocationResult, RuntimeApi

_START: Final = 10.0
"""Seconds that Lambda gives a function to start."""


class RuntimeProcessError(AsyncBatchError):
    """Raised when the runtime is not in the state that a test asks for.

    Args:
        problem: What is wrong.
        log: The end of what the process wrote to its standard error.
    """

    def __init__(self, problem: str, log: str = "") -> None:
        super().__init__(problem, log)
        self.problem = problem
        self.log = log

    def __str__(self) -> str:
        """Say what is wrong, then what the process said."""
        return f"{self.problem}\n{self.log}" if self.log else self.problem


class RuntimeProcess:
    """AWS's runtime client with one function; a context manager.

    Args:
        handler: ``module.function``.
        path: The folder with the module.
        environment: More environment variables. The process sees these, the ones of Lambda, and
            `PATH`.
        concurrency: How many workers are forked (Lambda Managed Instances); 1 is plain Lambda.
        snap_start: Start as from a snapshot: the restore hooks run before the first event.
        python: The interpreter.
        function_name: The function's name.
    """

    def __init__(
        self,
        handler: str,
        *,
        path: Path,
        environment: Mapping[str, str] | None = None,
        concurrency: int = 1,
        snap_start: bool = False,
        python: str = sys.executable,
        function_name: str = "test",
    ) -> None:
        self._command = [python, "-m", "awslambdaric", handler]
        self._concurrency = concurrency
        self._function_name = function_name
        self._environment = {
            **lambda_environment(function_name, path),
            **({"AWS_LAMBDA_MAX_CONCURRENCY": str(concurrency)} if concurrency > 1 else {}),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if snap_start else "on-demand",
            "_HANDLER": handler,
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start the Runtime API and the process; wait until every worker asks for an event.

        Raises:
            RuntimeProcessError: The function did not start; its error is in the message.
        """
        with contextlib.ExitStack() as exits:
            self.api: RuntimeApi = exits.enter_context(RuntimeApi(function_name=self._function_name))
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
            self._stdout, self._stderr = folder / "stdout", folder / "stderr"
            exits.callback(self.kill)
            self._start()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill the process and stop the Runtime API."""
        self._exits.close()

    # --- invoking
    # ------------------------------------------------------------------------------------

    def invoke(self, event: object, *, timeout: float = 3.0) -> InvocationResult:
        """Deliver an event and wait for the reply; thaw first, start anew if the process is gone.

        Args:
            event: What JSON can hold.
            timeout: Seconds that the function gets. Without a reply in time the process is killed.
        """
        return self.wait(self.submit(event, timeout=timeout))

    def submit(self, event: object, *, timeout: float = 3.0) -> Invocation:
        """Deliver an event without waiting for the reply: several workers take several.

        Raises:
            RuntimeProcessError: No worker takes the event.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        self.thaw()
        if not self.api.wait_for(lambda: self._has_exited() or self.api.waiting > 0, _START):
            raise self._error("no worker asks for an event")
        invocation = self.api.offer(event, timeout=timeout)
        self.api.wait_for(lambda: self._has_exited() or invocation.delivered is not None, _START)
        if invocation.delivered is None:
            self.api.withdraw(invocation)
            raise self._error("no worker took the event")
        return invocation

    def wait(self, invocation: Invocation) -> InvocationResult:
        """Wait for the reply to an event, the end of the process, or the deadline."""
        began = invocation.delivered or time.monotonic()
        left = began + invocation.timeout - time.monotonic()
        ended = self.api.wait_for(lambda: invocation.ended is not None or self._has_exited(), max(0.0, left))
        exit_code: int | None = None
        if not ended:
            exit_code = self.kill()
        elif invocation.lost or invocation.ended is None:
            # The connection is closed a moment before the process has ended.
            exit_code = self._wait_for_exit(_START if self._concurrency == 1 else 0.1)
        self.api.withdraw(invocation)
        return InvocationResult(
            request_id=invocation.request_id,
            payload=invocation.payload,
            error=invocation.error,
            timed_out=not ended,
            exit_code=-1 if exit_code is None and invocation.lost else exit_code,
            duration=(invocation.ended or time.monotonic()) - began,
        )

    # --- what Lambda does to an environment
    # ----------------------------------------------------------

    def freeze(self) -> None:
        """Stop every process of the environment, once all workers wait for an event.

        Raises:
            RuntimeProcessError: A worker is still busy, or has gone.
        """
        if not self._wait_until_idle(_START):
            raise self._error("a worker is busy or has gone: only an idle runtime is frozen")
        os.killpg(self.pid, signal.SIGSTOP)
        # Not reaped (WNOWAIT): Popen has to see the end of the process itself.
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen environment go on; nothing happens to one that runs."""
        if self._frozen:
            os.killpg(self.pid, signal.SIGCONT)
            self._frozen = False

    def terminate(self, *, grace: float = 0.5) -> int:
        """Send SIGTERM, and SIGKILL after the grace; return the exit code.

        Args:
            grace: Seconds; Lambda gives 0.3, or 0.5 with an internal extension.
        """
        self.thaw()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        exit_code = self._wait_for_exit(grace)
        return self.kill() if exit_code is None else exit_code

    def kill(self) -> int:
        """End every process of the environment at once; return the exit code of the first."""
        if self._process is None:
            return 0
        # A process that was waited for has given its id back, unless forked workers still carry it.
        if self._concurrency > 1 or self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._frozen = False
        return self._process.wait()

    # --- looking at it
    # -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id of the runtime, which is its process group, too.

        Raises:
            RuntimeProcessError: It was never started.
        """
        if self._process is None:
            raise RuntimeProcessError("the runtime was not started: use it in a with statement")
        return self._process.pid

    @property
    def stdout(self) -> str:
        """What the function has written to its standard output."""
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What the function has written to its standard error."""
        return self._stderr.read_text(errors="replace")

    def _start(self) -> None:
        environment = {**self._environment, "AWS_LAMBDA_RUNTIME_API": self.api.address}
        with self._stdout.open("ab") as stdout, self._stderr.open("ab") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - the command is the test's own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                # A process group of its own: signals reach the forked workers, too, and nobody
                # else.
                start_new_session=True,
            )
        if not self._wait_until_idle(_START):
            raise self._error("the function did not start")

    def _wait_until_idle(self, timeout: float) -> bool:
        def idle() -> bool:
            return self.api.waiting >= self._concurrency

        return self.api.wait_for(lambda: self._has_exited() or idle(), timeout) and idle()

    def _has_exited(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _wait_for_exit(self, timeout: float) -> int | None:
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def _error(self, problem: str) -> RuntimeProcessError:
        code = None if self._process is None else self._process.poll()
        state = "" if code is None else f"; the process has ended with {code}"
        reported = "".join(f"; {error.type}: {error.message}" for error in self.api.init_errors)
        return RuntimeProcessError(f"{problem}{state}{reported}", self.stderr[-2000:])


def lambda_environment(function_name: str, path: Path) -> dict[str, str]:
    """Return the environment variables that Lambda sets and awslambdaric reads.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # The asyncbatch that the tests import, wherever they have it from.
    ours = str(Path(asyncbatch.__path__[0]).parent)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join([str(path), ours]),
        "LAMBDA_TASK_ROOT": str(path),
        "AWS_LAMBDA_FUNCTION_NAME": function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        # Python's signal handlers then run while the runtime waits (3.12 and later).
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "TZ": ":UTC",
    }
