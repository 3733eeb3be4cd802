"""The benchmark runs; what it measures is for `make bench`, not for a test."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_smallest_run_has_figures_of_every_section(tmp_path: Path) -> None:
    result = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.overhead", "--smoke", "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "targets reached" in done.stdout
    report = json.loads(result.read_text())
    assert len({figure["section"] for figure in report["figures"]}) == 8
    assert all(figure["value"] > 0 for figure in report["figures"])
    assert report["versions"]["python"].startswith(f"3.{sys.version_info[1]}.")
