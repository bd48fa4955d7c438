"""YAML says what, never how: strict, whole, checked at load, one sentence when wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from raysearch.errors import InputError, nearest

M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice instead of keeping the last, and reads 1e-4.

    NOTE: YAML 1.1 as PyYAML reads it takes `1e-4` for a string (it wants `1.0e-4`).
    """


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in out:
            raise yaml.MarkedYAMLError(
                problem=f"key '{key}' stands twice", problem_mark=key_node.start_mark
            )
        out[key] = loader.construct_object(value_node, deep=True)
    return out


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping; InputError names the file and the line of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: is not UTF-8 at byte {e.start}") from e
    try:
        value = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark is not None else ""
        raise InputError(f"{path.name}:{line} {getattr(e, 'problem', None) or e}") from e
    if not isinstance(value, dict):
        raise InputError(f"{path.name}: holds {type(value).__name__}, must be a mapping of keys")
    return value


def parse(model: type[M], value: Mapping[str, Any], where: str) -> M:
    """Check a mapping against a model; the first thing wrong becomes a one-line InputError."""
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise InputError(_sentence(model, e, where)) from e


def _sentence(model: type[BaseModel], error: ValidationError, where: str) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(p) for p in first["loc"])
    if first["type"] == "extra_forbidden":
        keys = list(model.model_fields) if len(first["loc"]) == 1 else []
        key = str(first["loc"][-1])
        hint = nearest(key, keys)
        guess = f" Did you mean '{hint}'?" if hint else ""
        known = f" Known: {', '.join(keys)}" if keys else ""
        return f"{where}: no key '{place}'.{guess}{known}"
    if first["type"] == "missing":
        return f"{where}: key '{place}' is missing"
    message = first["msg"].removeprefix("Value error, ")
    got = first.get("input")
    stands = f" (stands there: {got!r})" if isinstance(got, str | int | float | bool | list) else ""
    return f"{where}: {place}: {message}{stands}" if place else f"{where}: {message}"
