"""Programs that are timed in fresh processes, one after another in every round."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from benchmarks.batches import queue_event
from benchmarks.rounds import Samples

# What the interpreter has loaded before the clock starts. Lambda's runtime client is there first.
BEFORE = {"bare interpreter": "", "after awslambdaric.bootstrap": "import awslambdaric.bootstrap"}

# Loaded when the feature that needs them is used, and not before.
LATE = {"aiobotocore", "anyio", "botocore", "click", "jinja2", "plotly", "pydantic", "rich", "scipy"}

FRAME = """
import json, sys, time
event = json.load(sys.stdin)
{before}
start = time.process_time()
{program}
seconds = time.process_time() - start
print(json.dumps([seconds, sorted(set(sys.modules) & {late})]))
"""


class LoadedTooMuchError(Exception):
    """Raised when asyncbatch loads a library that nobody asked for."""


def sample(programs: Mapping[str, str], before: str, rounds: int) -> Samples:
    """Time programs in fresh processes, once each in every round.

    The first processes only fill a bytecode cache, which all share.

    Args:
        programs: The code that is timed, by name.
        before: Code that has run before the clock starts.
        rounds: How often.

    Returns:
        CPU seconds, a sample per round.
    """
    with tempfile.TemporaryDirectory() as cache:
        if rounds > 1:
            _round(programs, before, cache)
        taken = [_round(programs, before, cache) for _ in range(rounds)]
    return {name: [each[name] for each in taken] for name in programs}


def _round(programs: Mapping[str, str], before: str, cache: str) -> dict[str, float]:
    taken: dict[str, float] = {}
    for name, program in programs.items():
        taken[name], loaded = _in_fresh_process(before, program, cache)
        if name.startswith("asyncbatch") and not before and loaded:
            raise LoadedTooMuchError(f"{name} loads {', '.join(loaded)}, which nothing needs: not timed")
    return taken


def _in_fresh_process(before: str, program: str, cache: str) -> tuple[float, list[str]]:
    environment = os.environ | {"LAMBDA_TASK_ROOT": "/var/task", "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", FRAME.format(before=before, program=program, late=LATE)],
        input=json.dumps(queue_event(10)),
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds, loaded = json.loads(done.stdout)
    return seconds, loaded
