"""How long the first page of many points takes to paint, and how large it is.

    python benchmarks/bench_page.py --points 20000 --runs 5

Prints the median seconds from navigation to `window.raysearchPainted` (set in the frame after
plotly's afterplot) and the megabytes of HTML and plotly.js together, for our page and for a plain
plotly `write_html` page of the same points, taken in turn, each in a fresh browser context.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from raysearch.analysis import Run, to_table
from raysearch.panels import write_pages
from raysearch.recommend.collect import collect
from tests.support.synthetic import records

CHROMIUM = "/usr/bin/chromium"
ARGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split() + ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
PLAIN = """
const box = document.getElementsByClassName("plotly-graph-div")[0];
const set = () => requestAnimationFrame(() => { window.raysearchPainted ||= performance.now(); });
box.on("plotly_afterplot", set); set();
"""


def run_of(points: int) -> Run:
    """Return a run with that many points, every one of them scored on test."""
    rng = np.random.default_rng(0)
    made = []
    for record in records(int(points * 1.1) + 10):
        if record.status != "DONE":
            continue
        scored = tuple(
            replace(
                p,
                scores={
                    **p.scores,
                    "test": {
                        "accuracy": float(rng.binomial(872, p.scores["validation"]["accuracy"]))
                        / 872
                    },
                },
                rows={**p.rows, "test": 872},
                infer_flops=float(p.infer_flops or 1.0) * float(10 ** rng.normal(0, 0.2)),
            )
            for p in record.points
        )
        made.append(replace(record, points=scored))
    table = to_table(made)
    keep = table.iloc[:points]
    ids = set(keep["id"])
    return Run(Path(), {}, tuple(r for r in made if r.id in ids), keep)


def plain_page(run: Run, path: Path) -> None:
    """Write the same points as a plain plotly page, one WebGL trace a method."""
    points = collect(run)
    x = points.cost("infer_flops")
    figure = go.Figure()
    for i, name in enumerate(points.methods):
        here = points.method == i
        figure.add_scattergl(x=x[here], y=points.test[here], mode="markers", name=name)
    figure.update_xaxes(type="log")
    figure.write_html(path, include_plotlyjs="directory", post_script=PLAIN)


def seconds(browser: Browser, path: Path) -> float:
    """Return the time from navigation to the first frame after plotly's afterplot [s]."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_function("window.raysearchPainted > 0", timeout=60_000)
    took = float(page.evaluate("window.raysearchPainted")) / 1000
    context.close()
    return took


def megabytes(html: Path, script: Path) -> float:
    """Return the size of a page and its plotly.js [1e6 bytes]."""
    return (html.stat().st_size + script.stat().st_size) / 1e6


def main() -> None:
    """Measure both pages in turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    run = run_of(given.points)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        ours = write_pages(run, Path(folder) / "ours")
        plain = Path(folder) / "plain" / "index.html"
        plain.parent.mkdir()
        plain_page(run, plain)
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        taken: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(given.runs):
            taken["ours"].append(seconds(browser, ours))
            taken["plain"].append(seconds(browser, plain))
        browser.close()
        median = {name: statistics.median(values) for name, values in taken.items()}
        print(
            json.dumps(
                {
                    "points": len(collect(run)),
                    "runs": given.runs,
                    "paint_seconds": round(median["ours"], 3),
                    "paint_seconds_all": [round(v, 3) for v in taken["ours"]],
                    "megabytes": round(megabytes(ours, ours.parent / "plotly-basic.min.js"), 2),
                    "plain_paint_seconds": round(median["plain"], 3),
                    "plain_paint_seconds_all": [round(v, 3) for v in taken["plain"]],
                    "plain_megabytes": round(megabytes(plain, plain.parent / "plotly.min.js"), 2),
                    "ratio": round(median["ours"] / median["plain"], 3),
                    "research_megabytes": round(
                        megabytes(ours.parent / "research.html", ours.parent / "plotly.min.js"), 2
                    ),
                }
            )
        )


if __name__ == "__main__":
    main()
