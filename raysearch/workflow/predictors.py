"""A predictor by options: a folder as it is, with another threshold, or two folders in a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.export.predictor import Predictor


def predictor_from_options(
    model: Path, otherwise: Path | None, threshold: str | None, criterion: str | None
) -> Predictor:
    """Open the predictor that the options describe.

    Args:
        model: an exported folder.
        otherwise: a second one, for texts of which the first is not sure.
        threshold: what a sure text reaches by the first's rule; with a second folder, by the
            first's largest probability.
        criterion: another rule of the first.

    Raises:
        InputError: a folder is not whole, or the choices do not go together.
    """
    from raysearch.export.opening import open_model

    if otherwise is not None:
        from raysearch.export.cascade import Cascade

        if threshold is None:
            raise InputError(
                "--otherwise: needs --threshold, the probability from which MODEL_DIR answers"
            )
        if criterion is not None:
            raise InputError(
                "--criterion: is of one model; --otherwise compares the largest probability"
            )
        names = str(model), str(otherwise)
        return Cascade(open_model(model), open_model(otherwise), threshold, names)
    predictor = open_model(model)
    if threshold is not None or criterion is not None:
        predictor.change_rule(threshold, criterion, str(model))
    return predictor
