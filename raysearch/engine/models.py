"""Rungs become modules and tokenisers: dtype explicit, safetensors only, no code from the hub."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.engine.hub import answers
from raysearch.engine.protocol import Rows
from raysearch.engine.store import Store
from raysearch.errors import InputError
from raysearch.plan.ladder import Rung

AWAY = "not on this machine, and the hub is out of reach"


class NotHere(InputError):
    """A checkpoint that is nowhere to be had; `why` names no model."""

    def __init__(self, text: str, why: str = "") -> None:
        super().__init__(text)  # `why` has a default: errors travel between processes by their text
        self.why = why


BUILTIN = Path(__file__).resolve().parent.parent / "toy" / "rungs"


def weights_folder(rung: Rung, models_dir: Path | None) -> Path:
    """Find the folder of a rung's checkpoint: --models-dir first, then the rung's own source.

    Raises:
        InputError: the folder has no weights, or the hub cannot be reached.
    """
    if models_dir is not None and rung.folder and (models_dir / rung.folder).is_dir():
        return _checked(models_dir / rung.folder, rung)
    kind, _, place = rung.source.partition(":")
    if kind == "builtin":
        return _checked(BUILTIN / place, rung)
    if kind == "file":
        return _checked(Path(place), rung)
    if kind == "hf":
        return _from_hub(rung, place)
    where = f" (looked in {models_dir})" if models_dir is not None else ""
    raise InputError(
        f"model '{rung.name}': no folder '{rung.folder}' under --models-dir{where} and no hub id"
    )


def _checked(folder: Path, rung: Rung) -> Path:
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(
                f"model '{rung.name}': {folder.name}/ has no {name}; a folder of weights holds "
                "config.json, model.safetensors and tokenizer.json"
            )
    _vocabulary(folder)
    return folder


def _vocabulary(folder: Path) -> Path:
    """The file a folder's tokeniser is made from; InputError where there is none."""
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"model folder {folder.name}/ has no tokenizer.json and no vocab.txt")


@cache
def _from_hub(rung: Rung, place: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = place.partition("@")
    try:
        with quiet_libraries():
            folder = snapshot_download(
                name,
                revision=revision or None,
                local_files_only=not answers(),
                allow_patterns=["*.json", "model.safetensors", "vocab.txt", "merges.txt"],
                etag_timeout=5,
            )
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as e:
        why = f"cannot be fetched ({type(e).__name__})" if answers() else AWAY
        raise NotHere(
            f"model '{rung.name}': hub id '{name}': {why}; put its folder "
            f"'{rung.folder or rung.name}' under a directory and give --models-dir DIR",
            why,
        ) from e
    return _checked(Path(folder), rung)


@cache
def weights_digest(folder: Path) -> str:
    """16 hex digits over the checkpoint's weights, shape and vocabulary; not over its path."""
    h = hashlib.sha256()
    for name in ("config.json", _vocabulary(folder).name, "model.safetensors"):
        path = folder / name
        if path.is_file():
            h.update(name.encode())
            with path.open("rb") as f:
                h.update(hashlib.file_digest(f, "sha256").digest())
    return h.hexdigest()[:16]


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep transformers and huggingface_hub from talking while a checkpoint loads."""
    from transformers.utils import logging as hf_logging

    level = hf_logging.get_verbosity()
    bars = hf_logging.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
        hub.setLevel(hub_level)


class RowEmbedding(nn.Module):
    """A word embedding of which only the batch's distinct rows get a gradient.

    A dense gradient of a 30,522 x 384 table takes a third of a training step on a CPU. In training
    the rows of the batch are gathered into a small leaf; the loop reads `leaf.grad` and updates
    those rows alone (lazy Adam: rows not in the batch get neither decay nor a momentum step).
    """

    def __init__(self, weight: Tensor, padding: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float(), requires_grad=False)
        self.padding = padding
        self.train_rows = False
        self.dtype = torch.float32
        self.pending: list[tuple[Tensor, Tensor]] = []
        """(rows, leaf) of each forward since the last update."""

    def forward(self, ids: Tensor) -> Tensor:
        """Look up (B, S) ids: (B, S, H)."""
        if not (self.train_rows and self.training and torch.is_grad_enabled()):
            return F.embedding(ids, self.weight).to(self.dtype)
        rows, place = ids.unique(return_inverse=True)
        leaf = self.weight[rows].to(self.dtype).requires_grad_()
        self.pending.append((rows, leaf))
        return F.embedding(place, leaf)


class Encoder(nn.Module):
    """The first k layers of a BERT- or RoBERTa-like encoder, without pooler or head."""

    def __init__(self, body: nn.Module, hidden: int) -> None:
        super().__init__()
        self.body = body
        self.hidden = hidden
        table: Any = body.get_input_embeddings()  # type: ignore[operator]
        self.words = RowEmbedding(table.weight, table.padding_idx)
        body.set_input_embeddings(self.words)  # type: ignore[operator]

    def forward(self, batch: Batch) -> Tensor:
        """Last hidden states (B, S, H), in the dtype of the layers."""
        mask = None if batch.full else batch.mask
        out: Tensor = self.body(
            input_ids=batch.ids, attention_mask=mask, **batch.types_argument()
        ).last_hidden_state
        return out

    def run_in(self, dtype: torch.dtype) -> None:
        """Hold the layers' weights in `dtype`; the word table stays float32."""
        for name, p in self.named_parameters():
            if not name.endswith("words.weight") and p is not self.words.weight:
                p.data = p.data.to(dtype)
        self.words.dtype = dtype


def pool(hidden: Tensor, batch: Batch, pooling: str) -> Tensor:
    """One vector a text (B, H): `cls`, or the `mean` over real tokens (padding excluded)."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling != "mean":
        raise ValueError(f"pooling: no '{pooling}'. Known: cls, mean")
    if batch.full:
        return hidden.mean(dim=1)
    weight = batch.mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)


def open_encoder(rung: Rung, folder: Path, device: torch.device) -> Encoder:
    """Build a rung's encoder from its checkpoint, float32, in eval mode, on `device`.

    Attention is eager on a CPU (at these lengths its bfloat16 backward is faster than the fused
    kernel's, and torch counts its FLOPs) and sdpa on CUDA.

    Raises:
        InputError: the checkpoint is not of the ladder's shape or lacks weights the rung needs.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel

    with quiet_libraries():
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError) as e:
            raise _broken(rung, folder, e) from e
        if rung.depth is not None:
            if rung.depth > config.num_hidden_layers:
                raise InputError(
                    f"model '{rung.name}': depth {rung.depth} is more than the checkpoint's "
                    f"{config.num_hidden_layers} layers"
                )
            config.num_hidden_layers = rung.depth
        extra = {} if config.model_type == "distilbert" else {"add_pooling_layer": False}
        try:
            body, info = AutoModel.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="sdpa" if device.type == "cuda" else "eager",
                output_loading_info=True,
                **extra,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as e:
            raise _broken(rung, folder, e) from e
    if info["missing_keys"]:
        raise InputError(
            f"model '{rung.name}': {folder.name} lacks weights, "
            f"first {sorted(info['missing_keys'])[0]}"
        )
    _check_shape(rung, body)
    return Encoder(body, config.hidden_size).to(device).eval()


def _broken(rung: Rung, folder: Path, error: Exception) -> InputError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"model '{rung.name}': {folder.name}/ does not load: {first}")


def _check_shape(rung: Rung, body: nn.Module) -> None:
    params = sum(p.numel() for p in body.parameters())
    if rung.params and params != rung.params:
        raise InputError(
            f"ladder.yaml: model '{rung.name}' says {rung.params:,} parameters, "
            f"the checkpoint has {params:,}"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded token ids of some texts, on the device."""

    ids: Tensor
    """(B, S) int64."""
    mask: Tensor
    """(B, S) bool: True at real tokens."""
    types: Tensor | None
    """(B, S) int64 segment ids of pairs, None when all are 0."""
    full: bool
    """No row is padded."""

    def types_argument(self) -> dict[str, Tensor]:
        """The segment ids as a keyword, when there are any."""
        return {} if self.types is None else {"token_type_ids": self.types}

    @property
    def tokens(self) -> int:
        """Executed tokens, padding included."""
        return int(self.ids.numel())


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of rows, back to back."""

    flat: NDArray[np.int32]
    offsets: NDArray[np.int64]
    """(n + 1,) row i is flat[offsets[i]:offsets[i + 1]]."""
    types: NDArray[np.uint8] | None
    rows: NDArray[np.int64]
    """Which of the stored rows these are (n,)."""
    pad: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row (n,)."""
        return np.asarray(self.offsets[self.rows + 1] - self.offsets[self.rows])

    def batch(self, index: NDArray[np.int64], device: torch.device) -> Batch:
        """Pad the rows at these positions to their longest; moved to the device asynchronously."""
        rows = self.rows[index]
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        width = int(lengths.max(initial=1))
        ids = np.full((len(rows), width), self.pad, np.int64)
        types = None if self.types is None else np.zeros((len(rows), width), np.int64)
        for i, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            ids[i, :length] = self.flat[start : start + length]
            if types is not None and self.types is not None:
                types[i, :length] = self.types[start : start + length]
        mask = np.arange(width) < lengths[:, None]
        return Batch(
            _move(ids, device),
            _move(mask, device),
            None if types is None else _move(types, device),
            bool((lengths == width).all()),
        )


def _move(array: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


class Tokeniser:
    """A checkpoint's tokeniser; each split of the task is tokenised once into the Store."""

    def __init__(
        self, folder: Path, store: Store, splits: Mapping[str, Rows], splits_digest: str, limit: int
    ) -> None:
        self._folder = folder
        self._store = store
        self._splits = splits
        self._digest = splits_digest
        self._limit = limit

    def encode(self, rows: Rows) -> Encoded:
        """Token ids of the rows, special tokens included, cut at the task's longest input.

        Rows of one of the task's splits come memory-mapped from the Store; others are tokenised.
        """
        whole = self._splits.get(rows.split)
        if whole is None:
            flat, offsets, types = self._tokenise(rows)
            return Encoded(flat, offsets, types, np.arange(len(rows)), self._pad)
        folder = self._store.build("tokens", self._key(rows.split), lambda f: self._fill(f, whole))
        types_file = folder / "types.npy"
        return Encoded(
            np.load(folder / "ids.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy"),
            np.load(types_file, mmap_mode="r") if types_file.exists() else None,
            np.searchsorted(whole.ids, rows.ids),
            self._pad,
        )

    def _key(self, split: str) -> str:
        tokeniser = hashlib.sha256(_vocabulary(self._folder).read_bytes()).hexdigest()[:16]
        return f"{self._digest}-{split}-{tokeniser}-{self._limit}"

    def _fill(self, folder: Path, rows: Rows) -> None:
        flat, offsets, types = self._tokenise(rows)
        np.save(folder / "ids.npy", flat)
        np.save(folder / "offsets.npy", offsets)
        if types is not None:
            np.save(folder / "types.npy", types)

    @property
    def _pad(self) -> int:
        return int(_fast_tokeniser(self._folder).pad_token_id or 0)

    def _tokenise(
        self, rows: Rows
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8] | None]:
        fast = _fast_tokeniser(self._folder)
        encoded = fast(
            list(rows.text),
            None if rows.pair is None else list(rows.pair),
            truncation=True,
            # RoBERTa's table of 514 positions holds texts of 512: its tokeniser knows
            max_length=min(self._limit, fast.model_max_length),
            return_attention_mask=False,
        )
        lists: list[list[int]] = encoded["input_ids"]
        offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum([len(x) for x in lists], out=offsets[1:])
        flat = np.fromiter((t for x in lists for t in x), np.int32, count=int(offsets[-1]))
        if rows.pair is None or "token_type_ids" not in encoded:
            return flat, offsets, None
        types = np.fromiter((t for x in encoded["token_type_ids"] for t in x), np.uint8)
        return flat, offsets, types


@cache
def _fast_tokeniser(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with quiet_libraries():
        return AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
