"""Invokes a function under AWS's runtime client for as long as is asked for, and tells whether it grows.

``make soak`` does so for an hour. Memory, file descriptors, threads, tasks and objects have to be as many at
the end as after the first fifth.
"""

import argparse
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from asyncbatch.testing import RuntimeProcess, sqs_event

FUNCTIONS = Path(__file__).parent / "functions"
ORDERS = ["work"] * 100 + ["raise", "cancel", "leave", "break"] * 10 + ["hang"]
SAMPLES = 25
MORE_MEMORY = 4096
"""KiB that a process may grow in the last four fifths: the allocator's, not ours. A leak of 50 bytes for each of a
minute's records is more."""


@dataclass
class Sample:
    """What a process holds."""

    invocations: int
    memory: int
    descriptors: int
    threads: int
    tasks: int
    objects: int


def measure(process: RuntimeProcess, invocations: int) -> Sample:
    process.invoke(sqs_event([{"do": "measure"}], seed=invocations), timeout=10)
    told = json.loads(process.stdout.splitlines()[-1])
    status = Path(f"/proc/{process.pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    descriptors = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    memory, threads = int(fields["VmRSS"].split()[0]), int(fields["Threads"])
    return Sample(invocations, memory, descriptors, threads, told["tasks"], told["objects"])


def soak(seconds: float) -> list[Sample]:
    """Invoke the function for some seconds; return what it held meanwhile."""
    rng = random.Random(0)
    samples: list[Sample] = []
    invocations = 0
    began = time.monotonic()
    with RuntimeProcess("soaked.lambda_handler", path=FUNCTIONS) as process:
        while time.monotonic() - began < seconds:
            orders = [{"do": rng.choice(ORDERS)} for _ in range(rng.randint(1, 20))]
            result = process.invoke(sqs_event(orders, seed=invocations), timeout=10)
            invocations += 1
            failed = sum(order["do"] in {"raise", "cancel", "hang"} for order in orders)
            assert result.replied, result
            assert len(result.payload["batchItemFailures"]) == failed
            if time.monotonic() - began > seconds * len(samples) / SAMPLES:
                samples.append(measure(process, invocations))
                print(samples[-1], flush=True)
    return samples


def growth(samples: list[Sample]) -> list[str]:
    """What the whole last fifth has more of than the first fifth ever had, a line for each.

    A leak stays. What a single sample has more of comes and goes: a thread that is about to end, for example.
    """
    fifth = len(samples) // 5 + 1
    allowed = {
        "memory": lambda before: before + MORE_MEMORY,
        "objects": lambda before: before * 1.02 + 500,
    }
    grown = []
    for name in ("memory", "descriptors", "threads", "tasks", "objects"):
        before = max(getattr(each, name) for each in samples[:fifth])
        after = min(getattr(each, name) for each in samples[-fifth:])
        if after > allowed.get(name, lambda before: before)(before):
            grown.append(f"{name}: {before}, then {after}")
    return grown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    samples = soak(parser.parse_args().seconds)
    grown = growth(samples)
    print(*grown, f"{samples[-1].invocations} invocations; {'grew' if grown else 'nothing grew'}", sep="\n")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
