"""Load YAML strictly: checked whole at load, one sentence when wrong; data, never code."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError

from raysearch.errors import InputError, no_name

M = TypeVar("M", bound=BaseModel)

EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
"""What is expected, by pydantic's name of an error."""


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    noun: ClassVar[str] = "key"
    """What an error calls a key of it."""


def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("a number, a word, true or false is expected")
    return value


Value = Annotated[bool | int | float | str, PlainValidator(_scalar)]
"""A value that stays as YAML has read it: 1 is no 1.0, and true is no 1."""


class _Twice(yaml.MarkedYAMLError):
    """A duplicate key in one mapping."""


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice instead of keeping the last, and reads 1e-4.

    NOTE: YAML 1.1 as PyYAML reads it takes `1e-4` for a string (it requires `1.0e-4`).
    """


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in out:
            raise _Twice(problem=f"key '{key}' stands twice", problem_mark=key_node.start_mark)
        out[key] = loader.construct_object(value_node, deep=True)
    return out


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_yaml(path: Path, *, where: str = "", empty: bool = False) -> dict[str, Any]:
    """Read one YAML mapping.

    Args:
        path: the file.
        where: what an error calls it; empty: its name.
        empty: an empty file is an empty mapping.

    Raises:
        InputError: it cannot be read, with the line of what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: is not UTF-8 at byte {e.start}") from e
    return read_yaml(text, where or path.name, empty=empty)


def read_yaml(text: str, where: str, *, empty: bool = False) -> dict[str, Any]:
    """Read the text of one YAML mapping; InputError names the line of what is wrong."""
    try:
        value = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark is not None else ""
        what = "" if isinstance(e, _Twice) else " cannot be read as YAML:"
        reason = getattr(e, "problem", None) or str(e).splitlines()[0]
        raise InputError(f"{where}:{line}{what} {reason}") from e
    if value is None and empty:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: holds {type(value).__name__}, must be a mapping of keys")
    return value


def parse(model: type[M], value: Mapping[str, Any], where: str) -> M:
    """Check a mapping against a model; the first thing wrong becomes a one-line InputError."""
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise InputError(_sentence(model, e, where)) from e


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    errors = error.errors(include_url=False)
    # an unknown key is usually a misspelt required one
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    *above, last = first["loc"] or ("",)
    place = ".".join(str(p) for p in first["loc"])
    if first["type"] == "extra_forbidden":
        owner = _model_at(model, above)
        start = ": ".join([where, *([".".join(map(str, above))] if above else [])])
        noun = getattr(owner, "noun", "key")
        if owner is None:
            return f"{start}: no {noun} '{last}'"
        return f"{start}: {no_name(noun, str(last), owner.model_fields)}"
    if first["type"] == "missing":
        return f"{where}: key '{place}' is missing"
    got = first.get("input")
    if first["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected")))
        return f"{where}: {place}: {no_name('value', str(got), known)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in EXPECTED:
        message = f"{EXPECTED[first['type']]} is expected"
    stands = f" (stands there: {got!r})" if isinstance(got, str | int | float | list) else ""
    return f"{where}: {place}: {message}{stands}" if place else f"{where}: {message}"


def _model_at(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the model of the keys at a place; None where that cannot be determined."""
    kind: Any = model
    for part in place:
        kind = _bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind = None if field is None else field.annotation
        else:
            kind = get_args(kind)[-1 if get_origin(kind) is dict else 0] if get_args(kind) else None
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _bare(kind: Any) -> Any:
    """Return a type without its limits and without None."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        rest = [k for k in get_args(kind) if k is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind
