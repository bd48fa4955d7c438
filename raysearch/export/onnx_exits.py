"""A model with exits as one ONNX file a segment, and the Python file that lets sure texts leave."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raysearch.errors import InputError
from raysearch.export import exits_runtime
from raysearch.export.manifest import FILE, Manifest
from raysearch.export.model import Format, Model
from raysearch.export.onnx import LIMIT, trace, write_tokeniser
from raysearch.export.onnx_predictor import need
from raysearch.export.own_code import run_own, usage, write_own
from raysearch.export.predictor import Predictor, broken, part
from raysearch.outputs.exit_rules import CRITERIA, NEVER, reached, signal, threshold_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raysearch.data.rows import Rows
    from raysearch.encoders.exit_graph import ExitGraph
    from raysearch.encoders.models import Encoder
    from raysearch.encoders.tokens import Tokeniser
    from raysearch.training.graph import Graph

CODE = "model.py"
EDGE = 1e-5
"""A signal so near to the threshold may fall on either side of it by rounding."""


def _check_graph(graph: Graph) -> str:
    from raysearch.encoders.exit_graph import ExitGraph

    assert isinstance(graph, ExitGraph)
    body: Any = graph.encoder.body
    words, whole = (sum(p.numel() for p in m.parameters()) for m in (body.embeddings, body))
    layers = (0, *graph.exits.layers)
    longest = max(b - a for a, b in itertools.pairwise(layers))
    size = 4 * (words + longest * (whole - words) // layers[-1])
    if size >= LIMIT:
        return f"{size / 1e9:.1f} GB of weights are more than one ONNX file holds"
    return ""


def _write(model: Model, folder: Path) -> None:
    """Write the segments, tokenizer.json, and the source of what runs them."""
    import torch

    from raysearch.encoders.exit_graph import ExitGraph

    need("onnx")
    graph = model.graph
    assert isinstance(graph, ExitGraph)
    layers = list(graph.exits.layers)
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    ids, hidden = torch.full((2, 8), 5), graph.encoder.hidden
    encoder = copy.deepcopy(graph.encoder).cpu().eval()
    body: Any = encoder.body
    body.set_attn_implementation("eager")
    types = int(getattr(body.config, "type_vocab_size", 0)) > 1
    # a tokeniser that names no segments was trained with none: all are 0
    types &= exits_runtime.TYPES in model.tokeniser.model_input_names
    rows, wide = {0: "batch"}, {0: "batch", 1: "length"}
    for k, name in enumerate(exits_runtime.segments(layers)):
        inputs = {exits_runtime.IDS: ids, exits_runtime.MASK: mask}
        inputs |= {exits_runtime.TYPES: torch.zeros_like(mask)} if types else {}
        if k:
            vectors = torch.zeros(2, layers[k - 1], hidden)
            states = zip(exits_runtime.STATES, (torch.zeros(2, 8, hidden), vectors), strict=True)
            inputs = {exits_runtime.MASK: mask, **dict(states)}
        outputs = ["logits"]
        outputs += [exits_runtime.after(s) for s in exits_runtime.STATES] * (k < len(layers) - 1)
        names = [*inputs, *outputs]
        free = {n: rows if n == "logits" or n.endswith("vectors") else wide for n in names}
        made = tuple(inputs.values())
        trace(_segment(graph, encoder, k), made, folder / name, list(inputs), outputs, free)
    write_tokeniser(model, folder)
    write_own(exits_runtime, folder / CODE)


def _segment(graph: ExitGraph, encoder: Encoder, k: int) -> nn.Module:
    """Build what a file computes: the layers from exit k - 1 to exit k, and exit k, calibrated."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from raysearch.encoders.models import attention_mask, pool
    from raysearch.encoders.tokens import Batch

    layers, last = graph.exits.layers, k == len(graph.exits.layers) - 1
    cold = float(graph.rule.temperature[k])
    head: Any = graph.exits.heads[k]
    with torch.no_grad():
        mix = graph.exits.mix(k).detach().cpu()[None]
        weight, bias = (p.detach().double().cpu() / cold for p in (head.weight, head.bias))

    class Segment(nn.Module):
        """Hidden states, mask and pooled vectors to the next of them and logits (B, C)."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.register_buffer("mix", mix)
            self.register_buffer("weight", weight.float())
            self.register_buffer("bias", bias.float())

        def forward(self, first: Tensor, second: Tensor, third: Tensor | None = None) -> object:
            """Run on ids, mask and segment ids (or none), else on mask, hidden states, vectors."""
            if k:
                assert third is not None
                return self.onward(first, second, [third])
            types = torch.zeros_like(first) if third is None else third
            batch = Batch(first, second.bool(), types, full=False)
            return self.onward(second, encoder.embed(batch)[0], [])

        def onward(self, mask: Tensor, hidden: Tensor, vectors: list[Tensor]) -> object:
            batch = Batch(mask, mask.bool(), None, full=False)
            low = attention_mask(batch, hidden.dtype)
            for i in range(layers[k - 1] if k else 0, layers[k]):
                hidden = encoder.layer(i, hidden, low)
                vectors = [*vectors, pool(hidden, batch, graph.pooling).unsqueeze(1)]
            so_far = torch.cat(vectors, dim=1)
            mixed = F.linear(so_far.transpose(1, 2), self.get_buffer("mix")).squeeze(2)
            logits = F.linear(mixed, self.get_buffer("weight"), self.get_buffer("bias"))
            return logits if last else (logits, hidden, so_far)

    return Segment()


def _checks(model: Model, rows: Rows, tokeniser: Tokeniser | None) -> list[tuple[Model, Rows]]:
    """Return the point's own rule without rows that rounding decides, and the whole model."""
    from raysearch.encoders.exit_graph import ExitGraph

    graph = model.graph
    assert isinstance(graph, ExitGraph) and tokeniser is not None
    clear = rows.take(np.flatnonzero(~_undecided(graph, rows, tokeniser)))
    whole = graph.with_knobs({"criterion": "confidence", "threshold": NEVER})
    manifest = replace(model.manifest, criterion="confidence", threshold=NEVER)
    return [(model, clear), (replace(model, graph=whole, manifest=manifest), rows)]


def _undecided(graph: ExitGraph, rows: Rows, tokeniser: Tokeniser) -> NDArray[np.bool_]:
    """Return rows (n,) so near the threshold that rounding decides where they leave."""
    import torch

    from raysearch.encoders.batches import evaluation_batches
    from raysearch.encoders.exits import ExitClassifier

    encoded = tokeniser.encode(rows)
    device = next(graph.encoder.parameters()).device
    module = ExitClassifier(graph.encoder, graph.exits, graph.pooling).eval()
    z = np.empty((len(rows), len(graph.exits.layers), graph.classes), np.float32)
    with torch.no_grad():
        for index in evaluation_batches(encoded.lengths):
            z[index] = module(encoded.batch(index, device)).cpu().numpy()
    z /= graph.rule.temperature[:, None].astype(np.float32)
    if graph.rule.criterion == "patience":  # what it counts turns where two classes are level
        first = np.sort(z, axis=2)
        near = first[..., -1] - first[..., -2] < EDGE
    else:
        goal = reached(graph.rule.threshold)
        near = np.abs(signal(z, graph.rule.criterion) - goal)[:, :-1] < EDGE
    return np.asarray(near.any(axis=1))


class ExitsPredictor(Predictor):
    """The segments and our own copy of their code: what lies in the folder is never run."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int = 0) -> None:
        need("onnxruntime")
        self._where = folder.name
        try:
            layers = [int(n) for n in manifest.exits.split(",")]
        except ValueError:
            layers = []
        if len(layers) < 2 or layers != sorted(set(layers)) or layers[0] < 1:
            raise InputError(f"{folder.name}/{FILE}: exits '{manifest.exits}': must be as 2,4,6")
        try:
            named, exits = manifest.criterion, len(layers)
            self._rule = named, threshold_of(manifest.threshold, named, exits)
        except InputError as e:
            raise InputError(f"{folder.name}/{FILE}: {e}") from e
        paths = [part(folder, name) for name in exits_runtime.segments(layers)]
        part(folder, "tokenizer.json")
        super().__init__(manifest, sum(p.stat().st_size for p in paths))
        try:
            self._model = exits_runtime.Model(folder, threads)
        except ValueError as e:  # names the file
            raise InputError(f"{folder.name}/{e}") from e
        except Exception as e:  # the package's only error class
            raise broken(folder, "tokenizer.json", e) from e
        self._exits = len(layers)
        self._texts = self._layers = 0

    def change_rule(self, threshold: str | None, criterion: str | None, name: str = "") -> None:
        """Change where texts leave.

        Args:
            threshold: a number, `inf` or `never`; None: the folder's.
            criterion: a name of `CRITERIA`; None: the folder's.
            name: what a person calls the model.

        Raises:
            InputError: they are none, or the folder's threshold belongs to another criterion.
        """
        named = criterion or self._rule[0]
        threshold_of(NEVER, named)  # raises when there is no such criterion
        if threshold is None:
            if named != self._rule[0] and self._rule[1] != NEVER:
                raise InputError(
                    f"--criterion {named}: needs --threshold too; {self._where}'s own, "
                    f"{self._rule[1]}, is by {self._rule[0]}"
                )
            self._rule = named, self._rule[1]
        else:
            self._rule = named, threshold_of(threshold, named, self._exits)

    def prepare(self, texts: list[str], pairs: list[str] | None = None) -> exits_runtime.Tokens:
        """Return token ids, cut at the model's longest input."""
        return self._model.tokens(texts, pairs)

    def infer(self, prepared: exits_runtime.Tokens) -> NDArray[np.float32]:
        """Return logits (n, C) of the exit that each text leaves at."""
        return self.exit_results(prepared)[0]

    def exit_results(
        self, prepared: exits_runtime.Tokens
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return logits (n, C), and the exit (n,) that each text leaves at, from 0."""
        criterion, threshold = self._rule
        logits, at = self._model.left(prepared, threshold, criterion)
        self._texts += len(at)
        self._layers += int(np.take(self._model.layers, at).sum())
        return logits, at

    def summary(self) -> str:
        """Return the mean number of layers that texts have taken, in words."""
        if not self._texts:
            return ""
        mean = self._layers / self._texts
        return f"{mean:.2f} of {self._model.layers[-1]} layers a text"


def _stock(
    folder: Path, manifest: Manifest, texts: list[str], pairs: list[str] | None
) -> NDArray[np.float64]:
    """Return probabilities by the folder's own model.py, which has just been written."""
    model = run_own(folder / CODE).Model(folder)
    rule = {"threshold": manifest.threshold, "criterion": manifest.criterion}
    return np.asarray(model.probabilities(texts, pairs, **rule))


def _use(manifest: Manifest) -> str:
    layers = manifest.exits.replace(",", ", ")
    goes = f"reaches {manifest.threshold}"
    if manifest.threshold == NEVER:
        goes = f"reaches the threshold; here that is `{NEVER}`: texts take all layers"
    shell = f"python model.py --threshold {NEVER} < texts.txt"
    return (
        f"{usage(manifest, 'numpy, onnxruntime, tokenizers', shell)}\n\n"
        f"There are exits after layers {layers}. A text leaves at the first whose "
        f"{manifest.criterion} ({CRITERIA[manifest.criterion]}) {goes}. Another choice is an "
        f'argument, as `threshold=0.95` or `criterion="patience", threshold=2`, and takes no '
        f"training: `{NEVER}` runs all layers, 0 leaves at the first exit. Scores, costs and "
        "calibration below are of the threshold that stands in `raysearch.json`. "
        "`raysearch predict` takes `--threshold` and `--criterion` too."
    )


FORMAT = Format(
    name="onnx_exits",
    tldr="one ONNX file a segment, and Python that lets sure texts leave early",
    rank=4,
    kinds=("exits",),
    write=_write,
    open=ExitsPredictor,
    stock=_stock,
    use=_use,
    check_graph=_check_graph,
    checks=_checks,
)
