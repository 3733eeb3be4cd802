"""What figures depend on: the machine, the interpreter, the versions of what is measured."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MEASURED = (
    "asyncbatch",
    "aiometer",
    "aiostream",
    "anyio",
    "aws-lambda-powertools",
    "awslambdaric",
    "pyperf",
    "uvloop",
)


def machine() -> dict[str, str]:
    """Describe the machine."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load at the start": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Return the versions of the interpreter and of what is measured on it."""
    return {"python": platform.python_version()} | {name: _version(name) for name in MEASURED}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Return the processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


if __name__ == "__main__":  # asked of every interpreter before a run
    json.dump(versions(), sys.stdout)
