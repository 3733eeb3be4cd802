"""The report in a real browser, offline: charts are drawn, nothing is loaded, nothing is complained of."""

import re
import shutil
import subprocess

import pytest
from PIL import Image

from asyncbatch.tuning import study_page, write

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.timeout(180),  # a browser starts slowly on a busy machine
]


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    write(study_page(study, "app:handler", {"command": "asyncbatch tune"}), file)
    return file


def browse(file, folder, *options):
    """Open a file without a network, and return what the browser wrote."""
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=20000",
        *options,
        file.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=True)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    return done.stdout


def test_every_chart_is_drawn(report, study, tmp_path):
    dom = browse(report, tmp_path, "--dump-dom")
    body = dom[: dom.index("<noscript>")]
    plots = body.split('class="plot js-plotly-plot"')[1:]
    assert len(plots) == 5
    for plot in plots:
        assert "main-svg" in plot
        assert re.search(r'class="(trace|trace bars|point|points|bars)', plot)
    assert plots[0].count('class="trace scatter') == 4  # asymptotes, law, rounds, medians
    assert plots[-1].count('class="point"') == len(study.timeline)
    assert f"recommended: {study.recommendation.limit}" in plots[0]


@pytest.mark.parametrize(
    ("scheme", "ground"), [("1", (253, 253, 252)), ("0", (21, 25, 28))], ids=["light", "dark"]
)
def test_the_screenshot_has_text_and_charts_in_both_schemes(report, tmp_path, scheme, ground):
    picture = tmp_path / "page.png"
    browse(
        report,
        tmp_path,
        f"--blink-settings=preferredColorScheme={scheme}",
        "--hide-scrollbars",
        "--window-size=1100,1600",
        f"--screenshot={picture}",
    )
    with Image.open(picture) as image:
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(1 << 24)}
    assert max(colours, key=colours.get) == ground
    assert len(colours) > 100  # letters, lines and dots are smoothed into many shades
    assert sum(colours.values()) - colours[ground] > 20_000
