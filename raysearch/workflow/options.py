"""The options of a study as values: their defaults, and those that are no field of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysearch.config.option import options_of
from raysearch.config.option_values import positive
from raysearch.config.study import Study
from raysearch.errors import InputError

OWN_DATA = ("text", "label", "group", "unlabelled", "score", "template", "words")
"""Options that describe a person's own data."""

DEFAULT_OPTIONS: Mapping[str, Any] = dict.fromkeys(
    (
        *("task", "data_dir", "models_dir", "study", "out", "address", "storage"),
        *OWN_DATA,
        "gpus_per_trial",
        *(o.name for o in options_of(Study)),
    )
)
"""What `prepare` reads, where nothing is given: None for each option."""


def gpus_of(given: Mapping[str, Any]) -> float | None:
    """Read --gpus-per-trial; None stays None.

    Raises:
        InputError: what cannot be a trial's part of the GPUs.
    """
    text = given.get("gpus_per_trial")
    value = positive(text, "--gpus-per-trial", zero=True)
    if value is not None and value > 1 and not value.is_integer():
        raise InputError(f"--gpus-per-trial: '{text}' must be a part of one GPU, or whole ones")
    return value
