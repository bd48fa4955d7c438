"""One training loop for all: AdamW on float32 masters, schedule, clipping, row-sparse words.

Where a step's time goes was measured (docs/concepts/speed.md): the dense gradient of the word table
and the casts of autocast are what a CPU pays for most, so the words get a row-sparse lazy Adam and
bf16 runs on bfloat16 copies of float32 master weights. On CUDA bf16 is autocast.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raysearch.encoders.models import Encoder, RowEmbedding
from raysearch.storage.store import State
from raysearch.training.row_adam import BETAS, EPS, LazyAdam, under


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """Settings of the optimiser."""

    learning_rate: float
    """Peak learning rate."""
    schedule: str = "linear"
    """After warm-up: `linear` to 0, `cosine` to 0, or `constant`."""
    warmup: float = 0.0
    """Share of the horizon over which the rate rises from 0."""
    weight_decay: float = 0.0
    """Decoupled decay (AdamW); not on biases, norms and vectors."""
    clip: float = 1.0
    """Largest global gradient norm."""


def rate(recipe: OptimiserConfig, step: int, horizon: int) -> float:
    """Return the learning rate of 0-based `step` of `horizon`.

    >>> [round(rate(OptimiserConfig(1.0, warmup=0.5), s, 4), 2) for s in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    rising = round(recipe.warmup * horizon)
    if step < rising:
        return recipe.learning_rate * (step + 1) / rising
    if recipe.schedule == "constant":
        return recipe.learning_rate
    left = (horizon - step) / max(1, horizon - rising)
    if recipe.schedule == "linear":
        return recipe.learning_rate * left
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 - math.cos(math.pi * left))
    raise ValueError(f"schedule: no '{recipe.schedule}'. Known: linear, cosine, constant")


@contextlib.contextmanager
def step_rng(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Draw torch's random numbers inside (dropout) from a generator of this seed and step.

    A restored run therefore continues with the same masks; the global generator is left as it was.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed((seed * 1_000_003 + step) % (2**63))
        yield


class OptimiserLoop:
    """Updates a module's trainable parameters, one optimiser step at a time."""

    def __init__(
        self,
        module: nn.Module,
        recipe: OptimiserConfig,
        horizon: int,
        *,
        seed: int,
        precision: str,
        device: torch.device,
    ) -> None:
        self.module = module
        self.recipe = recipe
        self.horizon = horizon
        self.seed = seed
        self.device = device
        self.steps = 0
        self._autocast = precision == "bf16" and device.type == "cuda"
        self._words = [m for m in module.modules() if isinstance(m, RowEmbedding)]
        for words in self._words:
            words.train_rows = True
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        self._live = [p for _, p in named]
        self._masters = [p.detach().clone().float() for p in self._live]
        low = precision == "bf16" and device.type == "cpu"
        if low:
            for encoder in (m for m in module.modules() if isinstance(m, Encoder)):
                encoder.run_in(torch.bfloat16)
        # Where the module runs in float32 the master is the weight itself: no second copy.
        self._copies = []
        for i, p in enumerate(self._live):
            if p.dtype == torch.float32:
                self._masters[i] = p
            else:
                self._copies.append(i)
                self._masters[i] = nn.Parameter(self._masters[i])
        decayed = [m for m in self._masters if m.ndim > 1]
        plain = [m for m in self._masters if m.ndim <= 1]
        self._adam = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=BETAS,
            eps=EPS,
            fused=True,
        )
        self._rows = [LazyAdam(w, recipe.weight_decay if w.decays else 0.0) for w in self._words]

    @property
    def finished(self) -> bool:
        """Return True if the schedule has reached its end."""
        return self.steps >= self.horizon

    def update(self, losses: Iterable[Callable[[], Tensor]]) -> float:
        """Update once on the sum of these losses (several: gradient accumulation).

        Returns the loss. Raises FloatingPointError when it is NaN or infinite.
        """
        self.module.train()
        total = 0.0
        with step_rng(self.seed, self.steps, self.device):
            for compute in losses:
                with torch.autocast("cuda", torch.bfloat16, enabled=self._autocast):
                    loss = compute()
                loss.backward()
                total += float(loss.detach())
        if not math.isfinite(total):
            raise FloatingPointError(f"the loss is {total} at step {self.steps}")
        self._apply()
        self.steps += 1
        return total

    def _apply(self) -> None:
        lr = rate(self.recipe, self.steps, self.horizon)
        with torch.no_grad():
            if self._copies:
                live = [self._live[i] for i in self._copies if self._live[i].grad is not None]
                masters = [self._masters[i] for i in self._copies if self._live[i].grad is not None]
                for master in masters:
                    if master.grad is None:
                        master.grad = torch.empty_like(master)
                grads = [p.grad for p in live if p.grad is not None]
                torch._foreach_copy_([m.grad for m in masters if m.grad is not None], grads)
            rows = [r.gather() for r in self._rows]
            grads = [m.grad for m in self._masters if m.grad is not None]
            grads += [g for r in rows for g in r[1:]]
            clip_(grads, self.recipe.clip)
            for group in self._adam.param_groups:
                group["lr"] = lr
            self._adam.step()
            for lazy, (index, *grad) in zip(self._rows, rows, strict=True):
                if grad:
                    lazy.step(index, grad[0], lr)
            if self._copies:
                torch._foreach_copy_(
                    [self._live[i] for i in self._copies], [self._masters[i] for i in self._copies]
                )
        for p in self._live:
            p.grad = None

    def weights(self) -> State:
        """Return what training has changed so far: masters and touched word rows, copied."""
        out = self._dense()
        for i, lazy in enumerate(self._rows):
            out.update({f"rows.{i}.{k}": v for k, v in lazy.weights().items()})
        return out

    def _dense(self) -> State:
        return {f"master.{i}": m.detach().clone() for i, m in enumerate(self._masters)}

    def load_weights(self, state: State) -> None:
        """Restore `weights()`."""
        with torch.no_grad():
            for i, (live, master) in enumerate(zip(self._live, self._masters, strict=True)):
                master.copy_(state[f"master.{i}"])
                live.copy_(master)
            for i, lazy in enumerate(self._rows):
                lazy.load_weights({k: state[f"rows.{i}.{k}"] for k in ("rows", "weight")})

    def state(self) -> State:
        """Return step count, weights and, while the schedule lasts, the optimiser's moments.

        Copied, but for large word tables (`COPIED`): those are to be written before the next step.
        """
        out: State = {"steps": self.steps, **self._dense()}
        for i, lazy in enumerate(self._rows):
            out.update({f"rows.{i}.{k}": v for k, v in lazy.snapshot().items()})
        if self.finished:
            return out
        for i, master in enumerate(self._masters):
            slot = self._adam.state.get(master, {})
            out.update({f"adam.{i}.{k}": v.detach().clone() for k, v in slot.items()})
        for i, lazy in enumerate(self._rows):
            out.update({f"rows.{i}.{k}": v for k, v in lazy.moments().items()})
        return out

    def drop_moments(self) -> None:
        """Drop the moments: no step follows."""
        self._adam.state.clear()
        for lazy in self._rows:
            lazy.drop_moments()

    def inherit_touched(self, before: OptimiserLoop) -> None:
        """Count the rows changed by an earlier loop over the same module as changed here."""
        for lazy, other in zip(self._rows, before._rows, strict=True):
            lazy.inherit_touched(other)

    def restore(self, state: State) -> None:
        """Continue from `state()`, over freshly built weights."""
        self.steps = int(state["steps"])
        self.load_weights(state)
        for i, master in enumerate(self._masters):
            slot = {
                name: state[key].clone()
                for name in ("exp_avg", "exp_avg_sq", "step")
                if (key := f"adam.{i}.{name}") in state
            }
            if slot:
                self._adam.state[master] = slot
        for i, lazy in enumerate(self._rows):
            if f"rows.{i}.m" in state:
                lazy.restore(under(f"rows.{i}.", state))


def clip_(grads: Sequence[Tensor], limit: float) -> None:
    """Scale gradients in place so that their global norm is at most `limit`."""
    if not grads:
        return
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(grads))))
    torch._foreach_mul_(list(grads), (limit / (norm + 1e-6)).clamp(max=1.0))
