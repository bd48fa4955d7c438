"""Templates and assets, and files that are written whole or not at all."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

ANSWERING = ("read.js", "answer.js", "words.js", "facts.js", "sentences.js")
"""The scripts that give the page its answer and its sentences: they never touch the page itself."""


def asset(name: str) -> Markup:
    """Return the text of a file among the assets, which a template takes as it is."""
    return Markup((files(__package__) / "assets" / name).read_text(encoding="utf-8"))


def render(package: str, template: str, /, **values: object) -> str:
    """Fill a template of a package; every value is escaped unless it is Markup."""
    return environment(package).get_template(template).render(**values)


@cache
def environment(package: str) -> Environment:
    """Return what a package's templates are read with; its `tojson` is inert inside a script."""
    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = asset
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; OSError where the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
