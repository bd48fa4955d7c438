"""The first page of a service: every study, how it stands, and what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from raysearch.panels.template import asset
from raysearch.service.replies import StudyReply

STYLE = (
    "main{padding-top:8px;padding-bottom:40px}"
    ".list{list-style:none;margin:12px 0 0;padding:0}"
    ".list li{padding:12px 0;border-top:1px solid var(--rule);overflow-wrap:anywhere}"
    ".list p{margin:2px 0}"
    ".list .state{margin-left:12px;padding:1px 8px;border-radius:9px;background:var(--chip);"
    "font-size:13px}"
    ".list .failed .state{outline:1px solid var(--soft)}"
    ".list .fine{margin:0}"
)
AT_WORK = ("starting", "running", "stopping")


@dataclass(frozen=True, slots=True)
class Row:
    """A study of the list."""

    study: StudyReply
    linked: bool
    """Whether there is a page of it."""
    found: Mapping[str, Any] | None = None
    """What its records say (`reading`'s summary); None where they have not been read yet."""


def page(rows: Sequence[Row]) -> tuple[str, str]:
    """The style, and the body: the newest study first."""
    if not rows:
        body = "<p>None yet: <code>raysearch submit --task NAME</code></p>"
    else:
        lines = "".join(map(_line, reversed(rows)))
        body = f"<p class=fine>{escape(_counts(rows))}</p><ol class=list>{lines}</ol>"
    return asset("style.css") + STYLE, f"<main><h1>Studies</h1>{body}</main>"


def _counts(rows: Sequence[Row]) -> str:
    """How many there are, by state.

    >>> _counts([])
    '0 studies'
    """
    many = Counter("at work" if r.study.state in AT_WORK else r.study.state for r in rows)
    said = [f"{len(rows)} {'study' if len(rows) == 1 else 'studies'}"]
    return ", ".join(said + [f"{n} {state}" for state, n in many.items()])


def _line(row: Row) -> str:
    study, found = row.study, row.found or {}
    name = escape(study.id)
    if row.linked:
        name = f'<a href="{escape(study.dashboard)}">{name}</a>'
    doing = study.verb != "frontier" and study.state in AT_WORK
    state = f"{study.state}: {study.verb}" if doing else study.state
    since = study.since[:16].replace("T", " ")
    about = [study.owner, f"task {study.task}", f"study {study.study}", _trials(row)]
    about.append(f"{study.state} since {since} UTC")
    says = [str(found.get("says") or ""), study.why]
    return (
        f'<li class="{escape(study.state)}">{name}<span class=state>{escape(state)}</span>'
        + "".join(f"<p>{escape(line)}</p>" for line in says if line)
        + f"<p class=fine>{escape(' · '.join(filter(None, about)))}</p></li>"
    )


def _trials(row: Row) -> str:
    if row.found is None:
        return "records are being read" if row.linked else ""
    if "trials" not in row.found:
        return ""
    text = f"{row.found['trials']:,} of {row.found['wanted']:,} trials"
    draws = int(row.found.get("draws") or 0)
    return f"{text}, {draws:,} draws" if draws else text
