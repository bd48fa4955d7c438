"""The model card: what a model is, what it scored and cost, and what it must not be used for."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LONGEST = 80  # letters of a user's name (a label, a column) that a card repeats


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts for a card; they hold no text of the data but label names."""

    format: str
    task: str
    source: str
    """Where the data come from, without a path."""
    splits: str
    """Digest of the splits."""
    rows: Mapping[str, int]
    """Rows by split, and `labels used` in all."""
    score: str
    """The task's main score."""
    method: str
    model: str
    """Name of the model size."""
    command: str
    """What writes this folder again."""
    use: str
    """Markdown: how to use the folder."""
    labels: Sequence[str] = ()
    """Class names; empty for a number."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By split, then by score name."""
    scored: Mapping[str, int] = field(default_factory=dict)
    """Rows that each split's scores stand on."""
    confirmed: str = ""
    """What fresh draws of the same configuration scored, in a sentence; empty without any."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """By name with its unit, as {"training [FLOP]": 1e15}; only what was measured."""
    knobs: Mapping[str, object] = field(default_factory=dict)
    pattern: str = ""
    """Pattern of a prompted model; empty for others."""
    words: str = ""
    """Its label words by class."""
    base: str = ""
    """Hub id of the base model; empty where it has none."""
    licence: str = ""
    """Of the base model; empty: unknown."""
    pretrained_on: str = ""
    data_licence: str = ""
    """Empty: unknown."""
    temperature: float = 1.0
    calibration: tuple[int, float, float] | None = None
    """(validation rows, ECE before, ECE after); None where there is nothing to calibrate."""
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    """Remarks of the export: parity, int8."""


def safe(text: object) -> str:
    r"""Return a user's name for Markdown: one line, short, no mark-up, no HTML.

    >>> print(safe("a|b <script>"))
    a\|b &lt;script&gt;
    """
    flat = "".join(c if c.isprintable() else " " for c in str(text))
    flat = " ".join(flat.split())
    flat = flat if len(flat) <= LONGEST else flat[: LONGEST - 3] + "..."
    flat = re.sub(r"([\\`*_{}\[\]()#!|~$])", r"\\\1", flat)
    return html.escape(flat, quote=False)


def card(facts: Facts) -> str:
    """Return the README.md of an exported folder, front matter of the hub included."""
    parts = [
        _front(facts),
        f"# {safe(facts.task)}: {safe(facts.method)} on {safe(facts.model)}",
        _what(facts),
        "## Use",
        facts.use,
        "With raysearch: `raysearch predict DIR in.csv -o out.csv`.",
        "## Labels",
        "\n".join(f"{i}. {safe(name)}" for i, name in enumerate(facts.labels))
        or "One number, on the scale of the training labels.",
        "## Scores",
        _scores(facts),
        "## Calibration",
        _calibration(facts),
        "## Costs",
        _table(("cost", "value"), [(k, _number(v)) for k, v in facts.costs.items()]),
        "Pretraining of the base model is not counted.",
        "## Data",
        f"Source: {safe(facts.source)}; digest of the splits `{facts.splits}`; licence: "
        f"{safe(facts.data_licence) or 'unknown'}.",
        _table(("rows", "count"), [(safe(k), f"{v:,}") for k, v in facts.rows.items()]),
        "## How it was made",
        _table(("knob", "value"), [(safe(k), safe(v)) for k, v in _knobs(facts).items()]),
        f"```sh\n{facts.command}\n```",
        f"Base model: {safe(facts.model)}, licence: {safe(facts.licence) or 'unknown'}"
        + (f", pretrained on {safe(facts.pretrained_on)}" if facts.pretrained_on else "")
        + ".",
        "Versions: " + ", ".join(f"{safe(k)} {safe(v)}" for k, v in facts.versions.items()) + ".",
        "## Limits",
        "\n".join(f"- {line}" for line in (*_limits(facts), *map(safe, facts.notes))),
    ]
    return "\n\n".join(parts) + "\n"


def _what(facts: Facts) -> str:
    kind = "classifier" if facts.labels else "regressor"
    labels = facts.rows.get("train", 0)
    how = (
        f"trained on {labels:,} labels of this task"
        if labels
        else "made without a label of this task"
    )
    return f"A text {kind} that `raysearch` chose, {how}, and wrote in format `{facts.format}`."


def _knobs(facts: Facts) -> dict[str, object]:
    prompt = {"pattern": facts.pattern, "label words": facts.words}
    return {**facts.knobs, **{k: v for k, v in prompt.items() if v}}


def _front(facts: Facts) -> str:
    known = {"Apache-2.0": "apache-2.0", "MIT": "mit"}
    prompted = facts.format == "hf" and facts.pattern
    lines = ["---", "tags: [raysearch]"]
    lines.append(f"pipeline_tag: {'fill-mask' if prompted else 'text-classification'}")
    if facts.licence in known:
        lines.append(f"license: {known[facts.licence]}")
    if facts.format == "hf":
        lines.append("library_name: transformers")
    if facts.base:
        lines.append(f"base_model: {json.dumps(facts.base)}")
    return "\n".join([*lines, "---"])


def _scores(facts: Facts) -> str:
    rows = []
    for split, values in facts.scores.items():
        for name, value in values.items():
            shown = f"{value:.4f}"
            main = " (main)" if name == facts.score else ""
            rows.append((split, safe(name) + main, shown, f"{facts.scored.get(split, 0):,}"))
    how = "Not scored."
    if facts.scores:
        how = "Chosen on validation; not scored on test: expect less than this."
    if "test" in facts.scores:
        how = "Chosen on validation, shown on test."
        if "validation" not in facts.scores:
            how = "Not chosen by a score, shown on test."
    how += f" {facts.confirmed}" if facts.confirmed else " Not confirmed on fresh draws."
    return _table(("split", "score", "value", "rows"), rows) + "\n\n" + how


def _calibration(facts: Facts) -> str:
    if facts.calibration is None:
        return "Not calibrated: there was nothing to calibrate on."
    rows, before, after = facts.calibration
    if facts.temperature == 1.0:
        return f"Temperature 1: left as it is. ECE on {rows:,} validation rows: {before:.4f}."
    return (
        f"Temperature {facts.temperature:.4f}, folded in: what comes out is "
        f"calibrated, the answers are the same. ECE (15 bins) on the {rows:,} validation rows it "
        f"was fitted on: {before:.4f} before, {after:.4f} after."
    )


def _limits(facts: Facts) -> list[str]:
    labels = facts.rows.get("train", 0)
    lines = [
        f"Trained on {labels:,} labels of one task; on other texts nothing is known of it."
        if labels
        else "Made for one task without its labels; on other texts nothing is known of it.",
        "Not tested for bias, safety or languages other than those of its data.",
    ]
    if facts.format not in ("native", "table"):
        lines.append("Inference in float32." if "int8" not in facts.knobs else "Weights in 8 bits.")
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "None."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    whole = abs(value) < 1e9 and float(value).is_integer()
    return f"{value:,.0f}" if whole else f"{value:.4g}"
