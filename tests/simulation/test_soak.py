"""The programs behind ``make soak``, for seconds: what is flat is told flat, and what grows is told."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from soak_runtime import Sample, growth, soak

HERE = Path(__file__).parent


def test_a_function_under_the_real_runtime_client_does_not_grow() -> None:
    samples = soak(5.0)
    assert growth(samples) == []
    assert samples[-1].invocations > 50
    assert min(sample.tasks for sample in samples[-3:]) == 1


FLAT = [Sample(at * 100, 30_000, 9, 2, 1, 20_000) for at in range(20)]


@pytest.mark.parametrize(
    ("name", "by"),
    [("memory", 5000), ("descriptors", 1), ("threads", 1), ("tasks", 1), ("objects", 1000)],
)
def test_growth_is_told(name: str, by: int) -> None:
    assert growth(FLAT) == []
    more = {name: getattr(FLAT[0], name) + by}
    (told,) = growth([*FLAT[:10], *(dataclasses.replace(each, **more) for each in FLAT[10:])])
    assert told.startswith(f"{name}: ")


def test_what_one_sample_has_more_of_is_no_growth() -> None:
    assert growth([*FLAT[:-1], dataclasses.replace(FLAT[-1], threads=3, descriptors=11)]) == []


def test_a_world_that_breaks_a_law_is_told_with_its_seed(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import soak, worlds, test_broken_engines;"
        "worlds.lives.__defaults__ = (test_broken_engines.gather,); print(*soak.break_laws(0, 40), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(HERE)], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    lines = done.stdout.splitlines()
    assert lines
    assert all(line.startswith("seed ") for line in lines)
