"""Predicts from this folder, and sure texts leave early: onnxruntime, tokenizers and numpy alone.

    python model.py < texts.txt          one text a line (a pair: two texts and a tab between)
    python model.py --threshold 0.9 < texts.txt

prints one JSON object a line. In a program:

    from model import Model
    Model(".").probabilities(["a text"], threshold=0.9)    # (n, C) as in Model(".").labels

Each segment_K.onnx holds the layers up to the next exit. A text leaves at the first exit whose
signal reaches the threshold and is in no later batch; the last exit always answers. Criterion and
threshold stand in raysearch.json; a threshold of `never` sends every text through all layers, one
of 0 lets every text leave at the first exit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CRITERIA = {
    "confidence": "the largest probability",
    "entropy": "1 - entropy / log(classes)",
    "patience": "exits in a row that agree with the one before",
}
ROWS, TOKENS = 64, 4096  # a batch holds no more texts, nor padded tokens
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
TENSOR = {"float": "tensor(float)", "int64": "tensor(int64)"}
STATES = ("hidden", "vectors")  # (B, S, H) of the last layer so far, (B, L, H) pooled of each


class Tokens(NamedTuple):
    """Tokenised texts: ids and segment ids of each, and their lengths (n,)."""

    ids: list[list[int]]
    types: list[list[int]]
    lengths: Any


class Left(NamedTuple):
    """What a pass has come to."""

    logits: Any
    """(n, C), calibrated, of the exit that each text left at."""
    at: Any
    """That exit (n,), from 0."""


class Model:
    """The model of a folder: raysearch.json, tokenizer.json and the segments."""

    def __init__(self, folder: str | Path, threads: int = 0) -> None:
        folder = Path(folder)
        try:
            facts = json.loads((folder / "raysearch.json").read_text(encoding="utf-8"))
            self.labels: list[str] = list(facts["labels"])
            self.pair = bool(facts["pair"])
            self.criterion: str = facts["criterion"]
            self.threshold: float | str = facts["threshold"]
            self.temperature = float(facts["temperature"])
            self.layers = [int(n) for n in str(facts["exits"]).split(",")]
            longest = int(facts["max_length"])
            self.rule(None, None)  # says at once what is wrong
        except (ValueError, KeyError, TypeError) as e:
            said = f"no {e}" if isinstance(e, KeyError) else str(e)
            raise ValueError(f"raysearch.json: {said}") from e
        import tokenizers

        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._pad = int((self._tokenizer.padding or {}).get("pad_id", 0))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)
        paths = [folder / name for name in segments(self.layers)]
        self._segments = [opened(path, threads) for path in paths]
        self._types = TYPES in {i.name for i in self._segments[0].get_inputs()}
        for k, path in enumerate(paths):
            self._check(k, path.name)

    def _check(self, k: int, name: str) -> None:
        """ValueError where a file is not the segment that raysearch.json says."""
        session = self._segments[k]
        found = {i.name: i.shape for i in session.get_inputs()}
        kinds = {i.name: i.type for i in session.get_inputs()}
        made = {o.name: o.shape for o in session.get_outputs()}  # in the order they come out
        asked = {MASK, *STATES} if k else {IDS, MASK, TYPES} if self._types else {IDS, MASK}
        said = ["logits", *map(after, STATES)] if k < len(self.layers) - 1 else ["logits"]
        wrong = [n for n, t in kinds.items() if t != TENSOR["float" if n in STATES else "int64"]]
        if set(found) != asked or list(made) != said or wrong:
            raise ValueError(f"{name}: is no such segment of a model with exits")
        if made["logits"][1:] != [len(self.labels)]:
            raise ValueError(f"{name}: does not fit raysearch.json")
        if k and found["vectors"][1] != self.layers[k - 1]:
            raise ValueError(f"{name}: does not fit raysearch.json")

    def tokens(self, texts: list[str], pairs: list[str] | None = None) -> Tokens:
        """Token ids, cut at the model's longest input."""
        given: list[Any] = list(map(whole, texts))
        if pairs is not None:
            given = list(zip(given, map(whole, pairs), strict=True))
        found = self._tokenizer.encode_batch_fast(given)
        ids = [e.ids for e in found]
        return Tokens(ids, [e.type_ids for e in found], np.array([len(i) for i in ids], np.int64))

    def left(
        self, tokens: Tokens, threshold: float | str | None = None, criterion: str | None = None
    ) -> Left:
        """Logits and exits of what `tokens` made; batches of like lengths.

        A threshold or criterion that is not given is raysearch.json's.
        """
        named, reached = self.rule(threshold, criterion)
        n = len(tokens.ids)
        logits, at = np.empty((n, len(self.labels)), np.float32), np.empty(n, np.int64)
        for index in batches(tokens.lengths):
            logits[index], at[index] = self._run(self._fed(tokens, index), named, reached)
        return Left(logits / np.float32(self.temperature), at)

    def rule(self, threshold: float | str | None, criterion: str | None) -> tuple[str, float]:
        """The criterion, and what its signal must reach; ValueError where they are none."""
        named = criterion or self.criterion
        goal("never", named, len(self.labels))  # says when there is no such criterion
        if threshold is None:
            threshold = self.threshold
            if named != self.criterion and threshold != "never":
                raise ValueError(
                    f"criterion '{named}': needs a threshold of its own, {threshold} is by "
                    f"{self.criterion}"
                )
        reached = goal(threshold, named, len(self.labels))
        if named == "patience" and len(self.layers) <= reached < math.inf:
            raise ValueError(
                f"threshold '{threshold}': must be a whole number from 0 to "
                f"{len(self.layers) - 1} by patience, or never"
            )
        return named, reached

    def _fed(self, tokens: Tokens, index: Any) -> dict[str, Any]:
        """The padded inputs of some rows."""
        width = max(1, int(tokens.lengths[index].max()))
        fed = {name: np.zeros((len(index), width), np.int64) for name in (IDS, MASK)}
        fed[IDS][:] = self._pad
        if self._types:
            fed[TYPES] = np.zeros((len(index), width), np.int64)
        for row, i in enumerate(index):
            n = tokens.lengths[i]
            fed[IDS][row, :n] = tokens.ids[i]
            fed[MASK][row, :n] = 1
            if self._types:
                fed[TYPES][row, :n] = tokens.types[i]
        return fed

    def _run(self, fed: dict[str, Any], criterion: str, reached: float) -> Left:
        """Segments one after another; texts that have left are in no later batch."""
        n, classes, last = len(fed[IDS]), len(self.labels), len(self.layers) - 1
        out, at = np.empty((n, classes), np.float32), np.full(n, last, np.int64)
        rows, history = np.arange(n), np.empty((n, 0, classes), np.float32)
        for k, session in enumerate(self._segments):
            logits, *states = session.run(None, fed)
            history = np.concatenate([history, logits[:, None]], axis=1)
            gone = np.full(len(rows), k == last)
            if k < last and reached < math.inf:
                gone = surety(history, criterion) >= reached
            out[rows[gone]], at[rows[gone]] = logits[gone], k
            stay = ~gone
            if not stay.any():
                break
            fed = {MASK: fed[MASK], **dict(zip(STATES, states, strict=True))}
            if gone.any():  # the others alone, cut to their longest
                rows, history = rows[stay], history[stay]
                fed = {name: value[stay] for name, value in fed.items()}
                width = max(1, int(fed[MASK].sum(axis=1).max()))
                for name in ("hidden", MASK):
                    fed[name] = np.ascontiguousarray(fed[name][:, :width])
        return Left(out, at)

    def probabilities(
        self,
        texts: list[str],
        pairs: list[str] | None = None,
        *,
        threshold: float | str | None = None,
        criterion: str | None = None,
    ) -> Any:
        """Probabilities (n, C) in the order of `labels`.

        Args:
            texts: to be labelled.
            pairs: the second text of each, where the model reads two.
            threshold: what a signal must reach, or `never`; None: raysearch.json's.
            criterion: confidence, entropy or patience; None: raysearch.json's.
        """
        return softmax(self.left(self.tokens(texts, pairs), threshold, criterion).logits)


def segments(layers: list[int]) -> list[str]:
    """The names of the files, one an exit."""
    return [f"segment_{k}.onnx" for k in range(len(layers))]


def after(name: str) -> str:
    """The output of a segment that is this input of the next: ONNX wants two names."""
    return f"next_{name}"


def opened(path: Path, threads: int) -> Any:
    """A segment at work; ValueError where the file does not load."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The sessions work in turns: threads that spin while they wait take the cores of the next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's errors share no base class
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        said = first.replace(f"{path.parent}{os.sep}", "")[:200]
        raise ValueError(f"{path.name}: does not load: {said}") from e


def goal(threshold: float | str, criterion: str, classes: int) -> float:
    """What a signal must reach: infinity where nothing may, -infinity where nothing can miss it.

    >>> goal("0.9", "confidence", 2), goal(0.5, "confidence", 2), goal("never", "entropy", 2)
    (0.9, -inf, inf)

    Raises:
        ValueError: no such criterion, or a threshold that is none of it.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"no criterion '{criterion}'. Known: {', '.join(CRITERIA)}")
    name = str(threshold).strip().lower()
    if name in ("never", "inf", "+inf", "infinity"):
        return math.inf
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    patience = criterion == "patience"
    if not (0 <= value < math.inf if patience else 0 <= value <= 1) or value % 1 * patience:
        most = "a whole number from 0" if patience else "from 0 to 1"
        raise ValueError(f"threshold '{threshold}': must be {most} by {criterion}, or never")
    # rounding must not keep a tie of all classes inside
    return -math.inf if value <= (1 / classes if criterion == "confidence" else 0) else value


def surety(history: Any, criterion: str) -> Any:
    """How sure the last exit so far is (n,), of what all so far have said (n, K, C).

    >>> z = np.log(np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.5, 0.5]]]))
    >>> surety(z, "confidence").round(3).tolist(), surety(z, "patience").tolist()
    ([0.8, 0.5], [0, 1])
    >>> surety(z, "entropy").round(3).tolist()
    [0.278, 0.0]
    """
    if criterion == "patience":
        answer = history.argmax(axis=2)
        same = answer[:, 1:] == answer[:, :-1]
        return np.cumprod(same[:, ::-1], axis=1).sum(axis=1)
    p = softmax(history[:, -1])
    if criterion == "confidence":
        return p.max(axis=1)
    spread = -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1) / math.log(p.shape[1])
    return np.clip(1.0 - spread, 0.0, 1.0)


def softmax(logits: Any) -> Any:
    """Probabilities (n, C) of logits (n, C)."""
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def batches(lengths: Any) -> Iterator[Any]:
    """Positions of texts of like lengths, batch by batch."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        near = lengths[order[start : start + ROWS]]
        fits = np.arange(1, len(near) + 1) * near <= TOKENS
        stop = start + max(1, int(fits.sum()))
        yield order[start:stop]
        start = stop


def whole(text: str) -> str:
    r"""A text in which half of a surrogate pair, which no tokeniser takes, has become a "?".

    >>> whole("b\ud800")
    'b?'
    """
    return text.encode("utf-8", "replace").decode()


def main() -> None:
    """Read texts from standard input, write a JSON object a line."""
    parser = argparse.ArgumentParser(description="Labels texts, one a line, with early exit.")
    parser.add_argument("--threshold", metavar="T", help="what a signal must reach, or never")
    parser.add_argument("--criterion", metavar="NAME", help=f"{', '.join(CRITERIA)}")
    parser.add_argument("--batch", type=int, default=ROWS, help="lines read at once")
    given = parser.parse_args()
    try:
        model = Model(Path(__file__).resolve().parent)
        model.rule(given.threshold, given.criterion)
    except (ValueError, OSError) as e:
        parser.error(str(e))
    while lines := [x.rstrip("\n") for x in itertools.islice(sys.stdin, max(1, given.batch))]:
        pairs = [x.partition("\t") for x in lines] if model.pair else None
        tokens = model.tokens(
            lines if pairs is None else [p[0] for p in pairs],
            None if pairs is None else [p[2] for p in pairs],
        )
        left = model.left(tokens, given.threshold, given.criterion)
        for p, k in zip(softmax(left.logits), left.at, strict=True):
            out = {
                "label": model.labels[int(p.argmax())],
                "probabilities": dict(zip(model.labels, map(float, p), strict=True)),
                "layers": model.layers[int(k)],
            }
            sys.stdout.write(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
