"""Linear models on fixed features: fitting by scikit-learn, FLOPs by formula, state as tensors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from raysearch.costs import flops
from raysearch.data.rows import Logits
from raysearch.ledger import Ledger
from raysearch.storage.store import State

ITERATIONS = 200
"""L-BFGS iterations at most; the fit usually ends before."""


class LinearModel:
    """Weights (d, C) and bias (C,) over dense or sparse features (n, d)."""

    def __init__(self, classes: int, regression: bool) -> None:
        self._classes = classes
        self._regression = regression
        self.weight: NDArray[np.float32] | None = None
        self.bias: NDArray[np.float32] | None = None

    def fit(self, x: Any, label: NDArray[Any], c: float, ledger: Ledger) -> None:
        """Fit with inverse L2 strength `c` and charge the FLOPs of the iterations it took.

        Logistic regression by L-BFGS; ridge regression by LSQR for numbers. A class without an
        example gets a bias so low that it is never predicted.
        """
        nonzeros = int(x.nnz) if hasattr(x, "nnz") else int(x.size)
        if self._regression:
            # NOTE: of the iterative solvers only lsqr reports its iterations to scikit-learn
            ridge = Ridge(alpha=1 / c, solver="lsqr", max_iter=ITERATIONS).fit(x, label)
            self._set(ridge.coef_.reshape(1, -1), np.atleast_1d(ridge.intercept_))
            took = int(np.max(ridge.n_iter_))
        elif len(present := np.unique(label)) == 1:
            self._set(np.zeros((self._classes, x.shape[1])), _only(present, self._classes))
            took = 0
        else:
            model = LogisticRegression(C=c, max_iter=ITERATIONS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x, label)
            coef, bias = model.coef_, model.intercept_
            if len(present) == 2:  # scikit-learn keeps one row for two classes
                coef, bias = np.vstack([-coef / 2, coef / 2]), np.concatenate([-bias / 2, bias / 2])
            weight = np.zeros((self._classes, x.shape[1]))
            weight[present] = coef
            full = _only(present, self._classes)
            full[present] = bias
            self._set(weight, full)
            took = int(np.max(model.n_iter_))
        columns = 1 if self._classes <= 2 else self._classes
        ledger.charge(
            "train", flops=flops.logistic_regression(nonzeros, columns, took), texts=x.shape[0]
        )

    def _set(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        self.weight = np.ascontiguousarray(weight.T, dtype=np.float32)
        self.bias = bias.astype(np.float32)

    def logits(self, x: Any) -> Logits:
        """Map features (n, d) to logits (n, C)."""
        assert self.weight is not None and self.bias is not None
        return np.asarray(x @ self.weight + self.bias, dtype=np.float32)

    @property
    def params(self) -> int:
        """Return the number of weights and biases."""
        assert self.weight is not None and self.bias is not None
        return int(self.weight.size + self.bias.size)

    def state(self) -> State:
        """Return weight and bias; empty before the fit."""
        if self.weight is None or self.bias is None:
            return {}
        return {"weight": torch.from_numpy(self.weight), "bias": torch.from_numpy(self.bias)}

    def restore(self, state: State) -> None:
        """Restore `state()`."""
        if "weight" in state:
            self.weight, self.bias = state["weight"].numpy(), state["bias"].numpy()


NEVER = -1e4
"""Bias of a class that had no training example."""


def _only(present: NDArray[Any], classes: int) -> NDArray[np.float64]:
    bias = np.full(classes, NEVER)
    bias[present] = 0.0
    return bias
