"""The kit's names: all can be loaded, and none is loaded before it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

import asyncbatch
import asyncbatch.testing as kit


def test_every_name_is_there() -> None:
    for name in kit.__all__:
        assert getattr(kit, name).__name__ == name
    assert set(kit.__all__) <= set(dir(kit))


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match=r"'asyncbatch.testing' has no attribute 'nothing'"):
        kit.nothing  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


@pytest.mark.parametrize("name", ["", "LambdaContext", "sample_event"])
def test_what_is_not_used_is_not_loaded(name: str) -> None:
    program = f"import sys, asyncbatch.testing as kit; {name and f'kit.{name};'}"
    program += "print({'http.server', 'asyncbatch.testing._virtual_loop'} & set(sys.modules))"
    here = Path(asyncbatch.__path__[0]).parent
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=here
    )
    assert done.stdout == "set()\n"
