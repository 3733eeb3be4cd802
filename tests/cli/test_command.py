"""The command as a process: entry points, signals, a terminal, and life without the extra."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "asyncbatch"]


def test_python_m_and_the_version() -> None:
    result = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("asyncbatch ")


def test_sample_into_invoke_through_a_pipe(folder: Path) -> None:
    sampled = subprocess.run([*COMMAND, "sample", "sqs", "-n", "2"], capture_output=True, check=True)
    result = subprocess.run(
        [*COMMAND, "invoke", "app.py:good", "--event", "-"],
        input=sampled.stdout,
        capture_output=True,
        check=True,
        cwd=folder,
    )
    assert json.loads(result.stdout) == {"batchItemFailures": []}


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from asyncbatch.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"needs {missing}" in result.stderr
    assert 'pip install "asyncbatch[cli]"' in result.stderr


def test_another_missing_module_is_not_blamed_on_the_extra() -> None:
    code = "import sys; sys.modules['asyncbatch.testing'] = None; from asyncbatch.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in result.stderr
    assert "asyncbatch[cli]" not in result.stderr


def test_ctrl_c_ends_with_130(folder: Path) -> None:
    (folder / "app_waits.py").write_text(
        "import asyncio, sys\n"
        "from asyncbatch import batch_handler\n"
        "@batch_handler\n"
        "async def lambda_handler(record):\n"
        "    print('started', flush=True)\n"
        "    await asyncio.sleep(60)\n"
    )
    # A shell starts what runs in its background with the signal ignored, and a child inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [*COMMAND, "invoke", "app_waits.py", "--sample", "sqs", "-n", "1"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    assert any(line.strip() == "started" for line in process.stderr)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_on_a_terminal_the_progress_is_live_and_the_response_still_goes_to_its_file(
    folder: Path,
) -> None:
    (folder / "app_slow.py").write_text(
        "import asyncio\n"
        "from asyncbatch import batch_handler\n"
        "@batch_handler(concurrency=4)\n"
        "async def lambda_handler(record):\n"
        "    print('from the handler')\n"
        "    await asyncio.sleep(0.2)\n"
    )
    ours, theirs = pty.openpty()
    with (folder / "out.json").open("wb") as out:
        process = subprocess.Popen(
            [*COMMAND, "invoke", "app_slow.py", "--sample", "sqs", "-n", "12"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )
    os.close(theirs)
    shown = _read_all(ours)
    assert process.wait(timeout=20) == 0
    assert json.loads((folder / "out.json").read_text()) == {"batchItemFailures": []}
    assert "4 in flight" in shown
    assert shown.count("from the handler") == 12


def _read_all(descriptor: int) -> str:
    parts = []
    with os.fdopen(descriptor, "rb", buffering=0) as terminal:
        while select.select([terminal], [], [], 20)[0]:
            try:
                part = terminal.read(4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts).decode()
