"""Tiny worlds for tests: random-init encoders of a few thousand weights, tasks of a few rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from raysearch.config.catalog import method_spaces
from raysearch.config.ladder import ModelSize
from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.config.task import Task
from raysearch.config.trial import TrialConfig
from raysearch.data.task_data import TaskData, load_task
from raysearch.planning.planner import Planner
from raysearch.record import TrialRecord
from raysearch.run.records import RecordWriter
from raysearch.run.study_file import StudyManifest, write_study_manifest
from raysearch.stages import find
from raysearch.trial.run import TrialRun

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIGNAL = ("red", "green", "blue", "gold", "grey")
"""Word k gives class k away."""
FILLER = tuple("a the of to and in it is was on with as for at by an be this that from".split())
ANSWERS = ("terrible", "great", "fine", "odd", "plain")
"""Word k is the label word of class k."""
VOCABULARY = (*SPECIAL, *SIGNAL, *FILLER, *ANSWERS, "##s", "##ed", ".", ",")
POSITIONS = 48
TEMPLATES = {
    "one": ("{text} it was {mask} .", "{mask} : {text}", "it is {mask} , {text}", "{text} {mask}"),
    "pair": ("{text} , {mask} , {pair}",),
}


def write_encoder(
    folder: Path,
    *,
    layers: int = 1,
    hidden: int = 32,
    intermediate: int = 64,
    kind: str = "bert",
    seed: int = 0,
) -> Path:
    """Write config.json, model.safetensors and tokenizer.json of a random-init encoder.

    `kind` is bert, roberta or distilbert.
    """
    import torch
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        DistilBertConfig,
        DistilBertForMaskedLM,
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaForMaskedLM,
    )

    from raysearch.storage.checkpoints import quiet_libraries

    words = Tokenizer(WordPiece({w: i for i, w in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    words.normalizer = normalizers.BertNormalizer(lowercase=True)
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.decoder = decoders.WordPiece()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = {
            "vocab_size": len(VOCABULARY),
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 16,
            "intermediate_size": intermediate,
            "max_position_embeddings": POSITIONS,
            "initializer_range": 0.1,
            "pad_token_id": 0,
        }
        if kind == "bert":
            body = BertForMaskedLM(BertConfig(**shape))
        elif kind == "roberta":
            body = RobertaForMaskedLM(RobertaConfig(**shape, type_vocab_size=1))
        else:
            names = {"hidden_size": "dim", "num_hidden_layers": "n_layers"}
            names |= {"num_attention_heads": "n_heads", "intermediate_size": "hidden_dim"}
            shape = {names.get(k, k): v for k, v in shape.items()}
            body = DistilBertForMaskedLM(DistilBertConfig(**shape))
        body.save_pretrained(folder)
        PreTrainedTokenizerFast(
            tokenizer_object=words,
            model_max_length=POSITIONS - 2,
            # RoBERTa and DistilBERT know no segments
            model_input_names=["input_ids", "attention_mask"]
            + ["token_type_ids"] * (kind == "bert"),
            **{
                f"{name}_token": f"[{name.upper()}]"
                for name in ("pad", "unk", "cls", "sep", "mask")
            },
        ).save_pretrained(folder)
    return folder


def rung(name: str, home: Path, **changes: object) -> ModelSize:
    """The rung of an encoder that `write_encoder` wrote."""
    shape = json.loads((home / "config.json").read_text())
    return ModelSize(
        **{
            "name": name,
            "family": "encoder",
            "source": f"file:{home}",
            "layers": shape.get("num_hidden_layers", shape.get("n_layers")),
            "hidden": shape.get("hidden_size", shape.get("dim")),
            "intermediate": shape.get("intermediate_size", shape.get("hidden_dim")),
            "vocabulary": shape["vocab_size"],
            "positions": POSITIONS,
            "ladders": ("tiny",),
            **changes,
        }
    )


def text_of(signal: str, rng: np.random.Generator, longest: int = 10) -> str:
    """The signal word at a random place among 2 to `longest` filler words."""
    words = list(rng.choice(FILLER, rng.integers(2, longest + 1)))
    words.insert(int(rng.integers(0, len(words) + 1)), signal)
    return " ".join(words)


def write_task(folder: Path, name: str, *, train: int = 60, test: int = 30, seed: int = 0) -> Task:
    """Write a task of rows that are trivially told apart: `two`, `five`, `number` or `pair`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    classes = {"two": 2, "five": 5, "number": 5, "pair": 2}[name]
    seen: set[str] = set()
    for split, rows in (("train", train), ("validation", test), ("test", test)):
        lines = []
        for i in range(rows):
            k = i % classes
            row: dict[str, object] = {}
            while not row or str(row) in seen:
                row = {"text": text_of(SIGNAL[k], rng), "label": f"class {k}"}
                if name == "number":
                    row["label"] = 0.5 * k - 1
                if name == "pair":
                    other = SIGNAL[k if rng.random() < 0.5 else 1 - k]
                    row["text_pair"] = text_of(other, rng)
            seen.add(str(row))
            lines.append(json.dumps(row))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    names = () if name == "number" else tuple(f"class {k}" for k in range(classes))
    return Task(
        name,
        f"file:{folder}",
        text_pair="text_pair" if name == "pair" else None,
        label_names=names,
        score="pearson" if name == "number" else "accuracy",
        templates=() if name == "number" else TEMPLATES["pair" if name == "pair" else "one"],
        words={c: (w,) for c, w in zip(names, ANSWERS, strict=False)},
        max_length=32,
        ladder="tiny",
    )


def world(task: Task, out: Path, **study: object) -> Planner:
    """A world over a tiny task, float32 unless said."""
    return Planner(Study(**{"name": "tiny", "precision": "fp32", **study}), load(task), out=out)


def load(task: Task) -> TaskData:
    """The task's data."""
    return load_task(task)


def configure(
    w: Planner, method: str, rung: str, labels: int = 32, *, init_seed: int = 0, **hyper: object
) -> TrialConfig:
    """The configuration of a method's or stage's first knob set, some knobs changed.

    What gives logits is the two-layer encoder, fine-tuned for a few steps.
    """
    first = dict(method_spaces()[method].default_config)
    short = {**method_spaces()["finetune"].default_config, "epochs": 1, "min_steps": 4}
    inputs = {
        i.role: Proposal("finetune", "random-2", labels, short)
        for i in find(method).inputs
        if i.gives == "logits"
    }
    proposal = Proposal(method, rung, labels, {**first, **hyper}, inputs)
    return w.configure(proposal, init_seed=init_seed)


def finish(run: TrialRun) -> TrialRun:
    """Work a trial to its end."""
    while run.step(60.0):
        pass
    return run


def trial(w: Planner, method: str, rung: str, labels: int = 32, **hyper: object) -> TrialRun:
    """The trial of a method's first knob set, some knobs changed; not yet begun."""
    return TrialRun(configure(w, method, rung, labels, **hyper), w.place)


def accuracy(run: TrialRun, split: str = "test") -> float:
    """Accuracy of a finished trial's first point on a whole split."""
    rows = run.setup.data.splits[split]
    logits = run.learner.predict(rows, run.learner.points()[0], phase="test")
    return float((logits.argmax(axis=1) == rows.label).mean())


@dataclasses.dataclass(frozen=True)
class Made:
    """A run's folder, its world, and the records of its trials."""

    out: Path
    world: Planner
    records: tuple[TrialRecord, ...]


def run_folder(
    home: Path,
    task: str,
    *trials: tuple[str, str, dict[str, object]],
    labels: int = 40,
    **changes: object,
) -> Made:
    """Train trials (method, rung, knobs) on a tiny task and leave a run's folder, without Ray."""
    task_ = dataclasses.replace(write_task(home / "data", task, test=60), **changes)
    w = world(task_, home / "out", labels=(labels,))
    write_study_manifest(home / "out", StudyManifest(w.study, task_, w.data.digest))
    writer = RecordWriter(home / "out" / "records.jsonl")
    records = []
    for method, rung, hyper in trials:
        short = {"min_steps": 12, "epochs": 2} if method == "finetune" else {}
        run = finish(TrialRun(configure(w, method, rung, labels, **{**short, **hyper}), w.place))
        records.append(run.record())
        writer.append(run.record().to_json())
    writer.close()
    return Made(home / "out", w, tuple(records))
