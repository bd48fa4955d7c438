"""Whether a model fits a machine's memory, and whether it can be prompted for a task."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from raysearch.config.ladder import ModelSize
from raysearch.config.task import Task
from raysearch.data.rows import Rows
from raysearch.encoders.cloze import missing_head_reason
from raysearch.encoders.patterns import Pattern, word_ids
from raysearch.encoders.tokens import fast_tokeniser
from raysearch.errors import InputError
from raysearch.planning.families import family_of
from raysearch.trial.context import prompt_of


def cannot_prompt(rung: ModelSize, task: Task, folder: Path | None) -> str | None:
    """Return why a model cannot answer the task's cloze question; None when it can."""
    prompt = prompt_of(task)
    if prompt is None:
        return (
            f"task '{task.name}' has no template and label words; "
            "own data: give --template and --words"
        )
    assert folder is not None
    try:
        reason = missing_head_reason(folder)
    except (OSError, ValueError, SafetensorError) as e:
        return f"model '{rung.name}': its checkpoint does not load: {str(e).splitlines()[0]}"
    if reason is not None:
        return f"model '{rung.name}': {reason}"
    try:
        word_ids(fast_tokeniser(folder), prompt.words, rung.name)
        for template in prompt.templates:
            none = Rows("none", np.empty(0, np.int64), [], [])
            limit = min(task.max_length, rung.positions)
            Pattern(template).encode(fast_tokeniser(folder), none, limit)
    except InputError as e:
        return str(e)
    return None


def too_large(rung: ModelSize, device: str) -> str | None:
    """Return why a model cannot be trained in this machine's memory; None when it can."""
    needed = family_of(rung).memory(rung, device)
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            return None  # on a cluster, where the resource plan checks the sizes of GPUs
        memory = torch.cuda.get_device_properties(0).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed <= memory:
        return None
    return f"training takes at least {needed / 2**30:.1f} GiB, here are {memory / 2**30:.1f}"
