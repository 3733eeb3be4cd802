"""What all tests share: how hard hypothesis looks, and the programs that stand in for AWS.

HYPOTHESIS_PROFILE=thorough looks twenty times harder than a usual run, and longer at each failure.
"""

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).parents[1]

# A deadline per example measures the machine: a shared one fails innocent examples.
_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("fast", max_examples=20, **_CALM)
settings.register_profile("default", max_examples=100, **_CALM)
settings.register_profile("mutation", max_examples=50, derandomize=True, **_CALM)
settings.register_profile("thorough", max_examples=2000, **_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The endpoint of moto's server, on a free port of this machine."""
    from moto.server import ThreadedMotoServer  # it takes a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of ministack, which checks more of what SQS checks, in a process of its own."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("ministack") / "log"
    environment = os.environ | {
        "AWS_ENDPOINT_URL": endpoint,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_EXECUTOR": "local",
        "MINISTACK_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(log.parent),  # it unpacks functions there, and leaves them
    }
    program = made_by_make(".venv-ministack", "ministack") / "bin" / "ministack"
    with log.open("w") as output:
        process = subprocess.Popen([program], env=environment, stdout=output, stderr=output, cwd=log.parent)
    try:
        _wait_for(f"{endpoint}/_ministack/health", process, log)
        yield endpoint
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 40.0) -> None:
    """Wait until a server answers."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    pytest.fail(f"{url} did not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point AWS clients at moto."""
    return point_clients_at(moto, monkeypatch)


@pytest.fixture
def aws_on_ministack(ministack: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point AWS clients at ministack."""
    return point_clients_at(ministack, monkeypatch)


def point_clients_at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    return endpoint


@pytest.fixture(scope="session")
def sam_venv() -> Path:
    """The virtual environment with AWS's SAM command line: `make` builds it."""
    return made_by_make(".venv-sam", "aws-sam-cli")


def made_by_make(name: str, package: str) -> Path:
    folder = REPOSITORY / name
    if not folder.is_dir():
        pytest.fail(
            f"{folder} does not exist: `make test` builds this virtual environment with {package} in it"
        )
    return folder
