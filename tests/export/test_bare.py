"""Strangers open the exports: bare virtual environments, and a real checkpoint on real texts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from raysearch.export.opening import open_model
from raysearch.export.point import export_point
from raysearch.trial.run import TrialRun
from raysearch.trial.trained import TrainedModel, open_trained
from tests.support import tiny

ROOT = Path(__file__).resolve().parents[2]

ASK = {
    "native": """
import json, sys
sys.path.insert(0, sys.argv[1])
from model import Model
texts = json.load(sys.stdin)
print(json.dumps(Model(sys.argv[1]).probabilities(texts).tolist()))
""",
    "onnx": """
import json, sys
import numpy as np, onnxruntime, tokenizers
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx")
tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
batch = tokenizer.encode_batch(json.load(sys.stdin))
ids = {
    "input_ids": [e.ids for e in batch],
    "attention_mask": [e.attention_mask for e in batch],
    "token_type_ids": [e.type_ids for e in batch],
}
names = {i.name for i in session.get_inputs()}
z = session.run(None, {k: np.array(v, np.int64) for k, v in ids.items() if k in names})[0]
print(json.dumps((np.exp(z) / np.exp(z).sum(1, keepdims=True)).tolist()))
""",
    "onnx_exits": """
import json, sys
sys.path.insert(0, sys.argv[1])
from model import Model
print(json.dumps(Model(sys.argv[1]).probabilities(json.load(sys.stdin)).tolist()))
""",
    "hf": """
import json, sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
model, info = AutoModelForSequenceClassification.from_pretrained(
    sys.argv[1], output_loading_info=True
)
assert not info["missing_keys"] and not info["unexpected_keys"], info
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
ask = pipeline("text-classification", model=model.eval(), tokenizer=tokenizer, top_k=None)
out = []
for found in ask(json.load(sys.stdin), truncation=True):
    by = {f["label"]: f["score"] for f in found}
    out.append([by[model.config.id2label[i]] for i in range(len(by))])
print(json.dumps(out))
""",
    "onnx prompted": """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, onnxruntime
from layout import Layout
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx")
ids = {k: np.array(v) for k, v in Layout(sys.argv[1])(json.load(sys.stdin)).items()}
z = session.run(None, ids)[0]
print(json.dumps((np.exp(z) / np.exp(z).sum(1, keepdims=True)).tolist()))
""",
    "hf prompted": """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch
from transformers import AutoModelForMaskedLM
from layout import Layout
model = AutoModelForMaskedLM.from_pretrained(sys.argv[1]).eval()
layout = Layout(sys.argv[1])
batch = {k: torch.tensor(v) for k, v in layout(json.load(sys.stdin)).items()}
words = model(**batch).logits[batch["input_ids"] == layout.mask]
p = torch.stack([words[:, w].mean(1) for w in layout.words], 1).softmax(-1)
print(json.dumps(p.tolist()))
""",
}
NEEDS = {
    "native": ["numpy", "safetensors"],
    "onnx": ["numpy", "onnxruntime", "tokenizers"],
    "onnx_exits": ["numpy", "onnxruntime", "tokenizers"],
    "hf": ["torch", "transformers"],
}
NEEDS |= {f"{name} prompted": NEEDS[name] for name in ("onnx", "hf")}
TRIALS = {
    "native": ("ngram_linear", "hash-16", {}),
    "onnx": ("embed_linear", "random-2", {}),
    "onnx_exits": ("early_exit", "random-2", {"epochs": 1, "min_steps": 12}),
    "hf": ("finetune", "random-2", {}),
    "onnx prompted": ("prompt", "random-2", {"epochs": 1, "min_steps": 12}),
    "hf prompted": ("prompt", "random-2", {"epochs": 1, "min_steps": 12}),
}


def exported(made, name, target):
    run = open_trained(made.records[0].config, made.world.place)
    record = made.records[0]
    export_point(run, record, record.points[0], name, target, command="x")
    return run


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The interpreter of a bare environment in which some packages are installed, made once."""

    @cache
    def made(needs):
        home = tmp_path_factory.mktemp("bare")
        subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
        python = home / "venv" / "bin" / "python"
        command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        extra = os.environ.get("RAYSEARCH_PIP_ARGS", "").split()
        # A constraint of a package that is not asked for does no harm; torch may be a CPU build.
        subprocess.run(
            [*command, *extra, "-c", ROOT / "constraints.txt", *needs],
            check=True,
            cwd=home,
            timeout=900,
        )
        return python

    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NEEDS))
def test_a_bare_environment_gets_the_same_probabilities(make_run, tmp_path, environment, name):
    made = make_run("five", TRIALS[name])
    run = exported(made, name.split()[0], tmp_path / "m")
    texts = list(run.data.splits["test"].text)
    expected = open_model(tmp_path / "m").probabilities(texts)
    python = environment(tuple(NEEDS[name]))
    path = {"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    bare = subprocess.run(
        [python, "-c", "import raysearch"], cwd=tmp_path, env=path, capture_output=True
    )
    assert b"ModuleNotFoundError" in bare.stderr, "raysearch must not be importable there"
    home = shutil.move(tmp_path / "m", tmp_path / "moved")
    ran = subprocess.run(
        [python, "-c", ASK[name], str(home)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=path,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = np.array(json.loads(ran.stdout.splitlines()[-1]))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.real
@pytest.mark.parametrize(
    ("method", "model", "hyper"),
    [
        ("finetune", "minilm-6", {"pooling": "mean"}),
        ("finetune", "minilm-2", {"pooling": "cls"}),
        ("prompt", "anydepth-3", {"template": 1}),
    ],
)
def test_a_real_checkpoint_on_real_sentences(tmp_path, method, model, hyper):
    from raysearch.config.catalog import find_task
    from raysearch.config.space import Proposal
    from raysearch.config.study import Study
    from raysearch.data.task_data import load_task
    from raysearch.planning.planner import Planner

    shared = ROOT.parent / "shared"
    data_dir = Path(os.environ.get("RAYSEARCH_DATA_DIR", shared / "data"))
    models_dir = Path(os.environ.get("RAYSEARCH_MODELS_DIR", shared / "models"))
    data = load_task(find_task("sst2_sent"), data_dir=data_dir)
    study = Study(name="real", precision="fp32", labels=(64,))
    world = Planner(study, data, out=tmp_path, data_dir=data_dir, models_dir=models_dir)
    hyper = {"epochs": 1, "min_steps": 8, **hyper}
    trial = TrialRun(world.configure(Proposal(method, model, 64, hyper)), world.place)
    record = tiny.finish(trial).record()
    run = TrainedModel(trial)
    rows = data.splits["test"].take(np.arange(200))
    answers = run.predict(record.points[0], rows).argmax(axis=1)
    for name in ("hf", "onnx"):
        done = export_point(run, record, record.points[0], name, tmp_path / name, command="x")
        assert done.parity.texts == 256 and done.parity.difference < 1e-5
        found = open_model(tmp_path / name).probabilities(list(rows.text))
        assert (found.argmax(axis=1) == answers).mean() > 0.99
    done = export_point(
        run, record, record.points[0], "onnx", tmp_path / "int8", command="x", int8=True
    )
    # eight steps leave many texts undecided: these turn with the rounding
    assert done.parity.same > 0.8 and len(done.events) == 2
    small = (tmp_path / "int8" / "model.int8.onnx").stat().st_size
    assert small < 0.3 * (tmp_path / "onnx" / "model.onnx").stat().st_size
