"""What the program prints of a run, by verbs and by the analysis, as JSON; times of now left out.

Only doors that stay are used: verbs, and `raysearch.analysis`.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.support.verbs import Say

Output = Callable[[Say, Path], Any]

LIMITS: dict[str, tuple[str, ...]] = {
    "no limits": (),
    "a year of texts": ("--volume", "1M", "--cost", "own"),
}
"""Settings of `recommend`, by what they ask for."""
MORE_LIMITS: dict[str, tuple[str, ...]] = {
    "few labels": ("--labels", "64"),
    "fast": ("--labels", "200", "--max-ms", "5"),
    "small": ("--max-bytes", "100000"),
    "little training": ("--max-train-flops", "2e9"),
    "good": ("--min-score", "0.55"),
    "a free teacher": ("--teacher", "free", "--cost", "infer_flops"),
    "two methods": ("--methods", "finetune,distill from finetune", "--share-teacher", "3"),
    "no such method": ("--methods", "distill"),
    "nothing fits": ("--max-bytes", "10"),
}


def output(say: Say, *args: str | Path) -> str:
    """What a verb prints on standard output; it must end well."""
    code, out, err = say(*args)
    assert code == 0, (args, code, out, err)
    return out


def status(say: Say, run: Path) -> Any:
    """How far the study is."""
    return {
        "json": json.loads(output(say, "status", run, "--json")),
        "text": output(say, "status", run).splitlines(),
    }


def recommend(say: Say, run: Path) -> Any:
    """The answer within each of `LIMITS` as JSON, sentences and all."""
    return _answers(say, run, LIMITS)


def recommend_more(say: Say, run: Path) -> Any:
    """The answer within each of `MORE_LIMITS`, as JSON; within all limits as text."""
    texts = {}
    for name, options in {**LIMITS, **MORE_LIMITS}.items():
        code, out, err = say("recommend", run, *options)
        texts[name] = [code, *out.splitlines(), *err.splitlines()]
    return {"texts": texts, **_answers(say, run, MORE_LIMITS)}


def _answers(say: Say, run: Path, limits: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, options in limits.items():
        code, value, err = say("recommend", run, *options, "--json")
        out[name] = {"code": code, "error": err.splitlines()} if code else json.loads(value)
    return out


def report(say: Say, run: Path) -> Any:
    """The recommended point, closely; JSON and page."""
    value = json.loads(output(say, "report", run, "--json"))
    page = (run / "dashboard" / "report.html").read_text(encoding="utf-8")
    return {"json": value, "page": page_of(page)}


def report_more(say: Say, run: Path) -> Any:
    """The first point of each method on test, closely."""
    made = _read(run).table
    tested = made[made["score_test"].notna()].drop_duplicates("method")
    return {
        str(point): json.loads(output(say, "report", run, str(point), "--json"))
        for point in tested["point_id"]
    }


def cascades(say: Say, run: Path) -> Any:
    """All cascades of confirmed points, or why there are none."""
    code, out, err = say("cascades", run, "--json")
    return json.loads(out) if code == 0 else {"code": code, "error": err.splitlines()}


def table(say: Say, run: Path) -> Any:
    """Every column of the table of all points."""
    made = _read(run).table
    return {str(name): [_plain(v) for v in made[name]] for name in made.columns}


def frontier(say: Say, run: Path) -> Any:
    """The frontiers of the search, whole and by label budget, and what they cost."""
    from raysearch.analysis import best_over_spend, frontiers, summary

    made = _read(run).table
    dear = ("score", "train_flops_full", "bytes")
    return {
        "summary": summary(made),
        "dear": summary(made, dear),
        "members": {
            str(labels): {
                "points": [str(p) for p in front.members["point_id"]],
                "dominated": [str(p) for p in front.dominated["point_id"]],
                "ties": {k: list(v) for k, v in front.ties.items()},
                "left_out": front.left_out_why,
                "caption": front.caption,
            }
            for labels, front in frontiers(made, dear).items()
        },
        "spend": _plain(best_over_spend(made)),
    }


def pages(say: Say, run: Path) -> Any:
    """What is embedded in each page, and its words; neither scripts nor style."""
    output(say, "page", run)
    found = sorted((run / "dashboard").glob("*.html"))
    return {p.name: page_of(p.read_text(encoding="utf-8")) for p in found if p.stem != "report"}


OUTPUTS: dict[str, Output] = {
    "status": status,
    "table": table,
    "frontier": frontier,
    "recommend": recommend,
    "recommend_more": recommend_more,
    "cascades": cascades,
    "report": report,
    "report_more": report_more,
    "pages": pages,
}
"""What is kept of each run, by the name of its file."""

# Pages


BLOCK = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
UNREAD = re.compile(r"<(script|style)\b.*?</\1>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")


def page_of(text: str) -> dict[str, Any]:
    """A page's embedded data, its words line by line, and its attributes that a script reads."""
    block = BLOCK.search(text)
    words = TAG.sub("\n", UNREAD.sub("", text)).splitlines()
    return {
        "words": [html.unescape(" ".join(w.split())) for w in words if w.strip()],
        "data": None if block is None else json.loads(block[1]),
    }


# Tables


def _read(run: Path) -> Any:
    from raysearch.analysis import read_run

    return read_run(run)


def _plain(value: Any) -> Any:
    """A value of a table as JSON: absent as None, numbers of numpy as Python's."""
    if isinstance(value, pd.DataFrame):
        return {str(c): [_plain(v) for v in value[c]] for c in value.columns}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
