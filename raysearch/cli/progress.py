"""A running study for a person to watch: a live view on a terminal, plain lines elsewhere.

Everything goes to standard error: standard output belongs to results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raysearch.search.event import Event, Snapshot
from raysearch.workflow.durations import span

REFRESH = 4
"""Redraws per second on a terminal."""
LAST = 3
"""Lines of news kept under the live view."""


@contextmanager
def watching(console: Console | None = None) -> Iterator[Callable[[Event], None]]:
    """Yield what `run_study` takes as `on_event`: it shows each event as it comes."""
    console = console or Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda event: _say(console, event)
        return
    view = _View()
    with Live(console=console, refresh_per_second=REFRESH, transient=True) as live:

        def show(event: Event) -> None:
            view.take(event)
            live.update(view.render())

        yield show
    if view.last is not None:
        console.print(Text(plain(view.last)))


def plain(event: Event) -> str:
    """Return one line about an event, the same on every terminal."""
    shot = event.snapshot
    head = f"[{shot.done}/{shot.wanted}] {event.text}"
    if event.kind == "record" and shot.eta and shot.done < shot.wanted:
        return f"{head}; about {span(shot.eta)} left"
    if event.kind == "end":
        return f"{head}: {shot.flops:.3g} FLOPs in {span(shot.seconds)}"
    return head


def _say(console: Console, event: Event) -> None:
    if event.kind not in ("start", "progress", "score"):  # those come every second
        console.print(Text(plain(event)), soft_wrap=True)


class _View:
    """What the live view knows."""

    def __init__(self) -> None:
        self.last: Event | None = None
        self._news: list[str] = []
        self._at_work: dict[str, str] = {}

    def take(self, event: Event) -> None:
        """Fold one event in."""
        self.last = event
        if event.kind in ("start", "progress"):
            numbers = ", ".join(f"{k} {v:g}" for k, v in event.data.items() if math.isfinite(v))
            self._at_work[event.id] = f"{event.text} {numbers}".rstrip()
            return
        self._at_work.pop(event.id, None)
        self._news = [*self._news, plain(event)][-LAST:]

    def render(self) -> RenderableType:
        """Return the view as it is now."""
        if self.last is None:
            return Text("")
        shot = self.last.snapshot
        lines: list[RenderableType] = [_bar(shot), _numbers(shot)]
        lines += [Text(f"  {line}", style="cyan") for line in self._at_work.values()]
        lines += [Text(line, style="dim") for line in self._news]
        return Group(*lines)


def _bar(shot: Snapshot) -> Table:
    row = Table.grid(padding=(0, 1))
    left = f"about {span(shot.eta)} left" if shot.eta is not None else "begins"
    row.add_row(
        Text(shot.name, style="bold"),
        ProgressBar(total=max(shot.wanted, 1), completed=shot.done, width=30),
        Text(f"{shot.done}/{shot.wanted} trials, {span(shot.seconds)}, {left}"),
    )
    return row


def _numbers(shot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    status = ", ".join(f"{n} {s}" for s, n in sorted(shot.by_status.items())) or "none yet"
    parked = f", {shot.parked} wait for their teachers" if shot.parked else ""
    table.add_row("trials", f"{status}; {shot.running} at work{parked}")
    budget = [f"{used:.3g} of {limit:g} {unit}" for unit, (used, limit) in shot.used.items()]
    table.add_row("spent", "; ".join([f"{shot.flops:.3g} FLOPs", *budget]))
    best = sorted(shot.best.items(), key=lambda item: -item[1])
    table.add_row("best", ", ".join(f"{m} {s:.4f}" for m, s in best) or "none yet")
    table.add_row("frontier", f"{shot.frontier} trials so far, on validation")
    return table
