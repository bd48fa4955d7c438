"""Types of a submission's fields: no text of them is a path, nor another option.

A submission has the options of a study's model under the same names; `with_options_of` adds them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, create_model

from raysearch.config.option import StudyOption, bare, options_of
from raysearch.config.strict import Strict

M = TypeVar("M", bound=BaseModel)


def one_line(text: str) -> str:
    """Return the text; ValueError where it is more than one line."""
    if any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise ValueError("must be one line of text")
    return text


def as_name(text: str) -> str:
    """Return the text; ValueError where it could be a path."""
    if not text or not all(c.isalnum() or c in "._-" for c in text) or text.startswith((".", "-")):
        raise ValueError("must be a name: letters, digits, . _ and -")
    return text


def as_corpus(text: str) -> str:
    """Return the text; ValueError where it has a file's ending."""
    if Path(text).suffix:  # what has an ending is a file for the command line
        raise ValueError("must be a corpus's name, no file's; upload it and name its pool_dataset")
    return text


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(one_line)]
Name = Annotated[str, Field(max_length=80), AfterValidator(one_line), AfterValidator(as_name)]
Corpus = Annotated[Name, AfterValidator(as_corpus)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MOST = 10**9
"""Largest whole number that is taken where an option says nothing else."""


def with_options_of(study: type[BaseModel]) -> Callable[[type[M]], type[M]]:
    """Return a decorator that gives a submission the options of a study's model.

    A field that the class has already stays as it is.
    """

    def decorate(model: type[M]) -> type[M]:
        fields: dict[str, Any] = {}
        inner: dict[str, list[StudyOption]] = {}
        for option in options_of(study):
            if len(option.path) > 1:
                inner.setdefault(option.path[0], []).append(option)
            elif option.name not in model.model_fields:
                fields[option.name] = _field(option)
        for key, options in inner.items():
            if key not in model.model_fields:
                kind = _nested(study.model_fields[key].annotation, options)
                fields[key] = (kind, kind())
        made = create_model(model.__name__, __base__=model, __module__=model.__module__, **fields)
        made.__doc__ = model.__doc__
        return made

    return decorate


def _nested(model: Any, options: list[StudyOption]) -> type[BaseModel]:
    fields: dict[str, Any] = {o.path[-1]: _field(o) for o in options}
    made = create_model(model.__name__, __base__=Strict, **fields)
    made.__doc__ = model.__doc__
    return made


def _field(option: StudyOption) -> tuple[Any, Any]:
    """Return the type and the default of a field: not given is None, or False."""
    if option.plain is bool:
        return bool, False
    kind = option.option.body
    if kind is None and option.plain is tuple:
        most = 64 if bare(option.item) is str else 32
        kind = Annotated[tuple[_safe(option.item), ...], Field(min_length=1, max_length=most)]  # type: ignore[misc]
    elif kind is None:
        kind = _safe(option.kind)
    return kind | None, None


def _safe(kind: Any) -> Any:
    """Return a type that takes no more than it must: names, finite numbers."""
    if bare(kind) is str:
        return Name
    if bare(kind) is int:
        return Annotated[kind, Field(le=MOST)]
    return Annotated[kind, Field(allow_inf_nan=False)] if bare(kind) is float else kind
