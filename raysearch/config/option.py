"""Options of a study: an annotated field is the option, wherever it can be given.

The field `labels: Annotated[tuple[Count, ...], Option("Label budgets.", "N,N")]` of a study's model
is the key `labels` of its YAML, the option `--labels` of the verbs that run studies, and the key
`labels` of what is submitted over HTTP. The generators are in `cli/options.py` and
`service/fields.py`; this file imports neither click nor HTTP.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from raysearch.config.option_values import read_names, read_numbers
from raysearch.config.strict import parse

M = TypeVar("M", bound=BaseModel)
Parse: TypeAlias = Callable[[str, Any, str], Any]
Section: TypeAlias = Literal["data", "prices", "sharing", "search", "limits", "machine"]


@dataclass(frozen=True, slots=True)
class Option:
    """How a field can be set from outside; part of the field's annotation."""

    help: str
    """One sentence for `--help`."""
    metavar: str | None = None
    """Placeholder of the value in `--help`; None: a flag without a value."""
    section: Section = "search"
    """Section of `--help` that lists it."""
    name: str = ""
    """Its name on the command line and over HTTP; empty: the field's."""
    parse: Parse | None = None
    """Reads the command line's text: (text, value before, flag) to value, None where the text
    gives nothing. None: by the field's type."""
    body: Any = None
    """Type over HTTP, where less may be submitted than a study may have; None: the field's."""


@dataclass(frozen=True, slots=True)
class StudyOption:
    """One option of a study's model."""

    option: Option
    path: tuple[str, ...]
    """Keys that lead to it in a study's YAML."""
    kind: Any
    """The field's type, without None and with its limits (Annotated)."""

    @property
    def name(self) -> str:
        """Return the name of its value among a verb's options."""
        return self.option.name or self.path[-1]

    @property
    def flag(self) -> str:
        """Return the flag of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys that lead to it in what is submitted over HTTP."""
        return (self.name,) if len(self.path) == 1 else self.path

    @property
    def plain(self) -> Any:
        """Return the field's type without its limits.

        bool, int, float, str, or `tuple` of one of them.
        """
        return bare(self.kind)

    @property
    def item(self) -> Any:
        """Return a tuple's type of items, with its limits."""
        return get_args(unlimited(self.kind))[0]

    @property
    def parse(self) -> Parse | None:
        """Return the parser of the command line's text; None where the type is enough."""
        if self.option.parse is not None or self.plain is not tuple:
            return self.option.parse
        return read_numbers if bare(self.item) is int else read_names


def options_of(model: type[BaseModel], *sections: Section) -> tuple[StudyOption, ...]:
    """Return the options of a study's model by section, then in the order of its fields.

    Args:
        model: the study's model.
        sections: which of them, in this order; none: all.
    """
    options = tuple(_walk(model, ()))
    wanted: tuple[Section, ...] = sections or get_args(Section)
    return tuple(o for section in wanted for o in options if o.option.section == section)


def _walk(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[StudyOption]:
    for name, info in model.model_fields.items():
        kind = limited(info)
        if isinstance(inner := unlimited(kind), type) and issubclass(inner, BaseModel):
            yield from _walk(inner, (*path, name))
        for option in (m for m in info.metadata if isinstance(m, Option)):
            yield StudyOption(option, (*path, name), kind)


def limited(info: FieldInfo) -> Any:
    """Return a field's type without None, with its limits."""
    kind = info.annotation
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (k for k in get_args(kind) if k is not type(None)) or (kind,)
    limits = tuple(m for m in info.metadata if not isinstance(m, Option))
    return Annotated[(kind, *limits)] if limits else kind


def unlimited(kind: Any) -> Any:
    """Return a type without its limits: `Annotated[int, ...]` is int."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def bare(kind: Any) -> Any:
    """Return a type without limits and without items: `tuple[int, ...]` is tuple."""
    inner = unlimited(kind)
    return get_origin(inner) or inner


def parsed(
    options: tuple[StudyOption, ...], given: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values that are given, by the option's name.

    Args:
        options: the options to look for.
        given: what click has read, by name; None and an unset flag are not given.
        before: the values that `+x` adds to, by name.

    Raises:
        InputError: a text that cannot be read as its option.
    """
    out = {}
    for option in options:
        value = given.get(option.name)
        if isinstance(value, str) and option.parse is not None:
            value = option.parse(value, before.get(option.name), option.flag)
        if value is not None and value is not False:
            out[option.name] = value
    return out


def get_in(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the value under nested keys; None where there is none."""
    inner: Any = value
    for key in keys:
        inner = inner.get(key) if isinstance(inner, Mapping) else None
    return inner


def put_in(value: dict[str, Any], keys: tuple[str, ...], new: Any) -> None:
    """Set the value under nested keys, in place."""
    for key in keys[:-1]:
        value[key] = dict(value.get(key) or {})
        value = value[key]
    value[keys[-1]] = new


def with_options(
    study: M, given: Mapping[str, Any], defaults: Mapping[str, Callable[[], tuple[str, ...]]]
) -> M:
    """Return the study with a verb's options.

    Args:
        study: the study without them.
        given: what click has read, by name.
        defaults: of a list that the study leaves open, what `+x` adds to.

    Raises:
        InputError: a text that cannot be read, or a value that is not allowed.
    """
    options, value = options_of(type(study)), study.model_dump(exclude_none=True)
    before = {o.name: get_in(value, o.path) for o in options}
    for option in options:
        if option.plain is tuple and before[option.name] is None and given.get(option.name):
            before[option.name] = defaults.get(option.name, tuple)()
    new = parsed(options, given, before)
    for option in options:
        if option.name in new:
            put_in(value, option.path, new[option.name])
    return parse(type(study), value, "options")


def arguments(options: Iterable[StudyOption], value: Mapping[str, Any]) -> list[str]:
    """Return values as command line arguments, each as one word.

    >>> from raysearch.config.study import Study
    >>> arguments(options_of(Study), {"labels": (32, 100), "prices": {"label": 0.5}})
    ['--price-per-label=0.5', '--labels=32,100']

    Args:
        options: the options to write.
        value: the values, nested as in what is submitted over HTTP; None is not written.
    """
    texts = ((o.flag, text_of(get_in(value, o.keys))) for o in options)
    return [f"{flag}={text}" if text else flag for flag, text in texts if text is not None]


def text_of(value: Any) -> str | None:
    """Return a value as the command line writes it: "" after a flag alone, None for no option.

    >>> text_of((32, 100)), text_of(True), text_of(False), text_of(()), text_of(1.5)
    ('32,100', '', None, None, '1.5')
    """
    if value is None or value is False or value in ("", (), []):
        return None
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return "" if value is True else str(value)
