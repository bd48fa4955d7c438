"""One open page in a headless Chromium, and what every browser test asks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysearch.recommend.answer import answer, to_json
from raysearch.recommend.points import Points
from raysearch.recommend.sentences import details, footer, headline, why
from raysearch.recommend.words import text

CHROMIUM = Path("/usr/bin/chromium")
ARGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split() + ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


class Visit:
    """One open page, with what it logged and asked for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, **context}
        )
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._log)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("dialog", lambda d: (self.errors.append("dialog " + d.message), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("requestfailed", lambda r: self.errors.append("failed " + r.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("window.raysearchPainted > 0", timeout=30_000)

    def _log(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
        assert all(r.startswith(("file://", "data:", "blob:")) for r in self.requests)


def drawn(page: Any) -> int:
    """Marks of points in the plot: all but the ring."""
    marks = page.evaluate("document.querySelectorAll('#plot .scatterlayer .points path').length")
    return int(marks) - 1


def draw_all(page: Any) -> None:
    page.evaluate("() => DATA.figures.forEach((_, at) => drawFigure(at))")


def same(points: Points, page: Any, **kw: Any) -> None:
    given = answer(points, **kw)
    theirs = page.evaluate(
        "(s) => { const a = window.raysearch.answer(s); return {...a, fits: a.fits.length}; }", kw
    )
    for name, value in to_json(given).items():
        if name == "band" and value is not None:
            assert theirs[name] == pytest.approx(value, abs=1e-12)
        else:
            assert theirs[name] == value, (kw, name)
    call = "(s) => ['headline', 'why', 'footer', 'details'].map((part) => raysearch[part](s))"
    sentences, reasons, foot, more = page.evaluate(call, kw)
    assert more == [text(s) for s in details(points, given)], kw
    assert sentences == [text(s) for s in headline(points, given)], kw
    assert reasons == [list(r) for r in why(points, given)], kw
    assert foot == footer(points, given), kw
