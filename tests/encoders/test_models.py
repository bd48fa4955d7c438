"""Checkpoints: safe, whole and of the ladder's shape; tokens as the tokeniser makes them."""

import json
import logging
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from raysearch.config.ladder import ModelSize
from raysearch.data.rows import Rows
from raysearch.encoders.models import open_encoder, pool
from raysearch.encoders.tokens import Tokeniser
from raysearch.errors import InputError
from raysearch.storage.checkpoints import quiet_libraries, weights_digest, weights_folder
from raysearch.storage.store import Store
from tests.support import tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tiny.write_encoder(tmp_path_factory.mktemp("made") / "enc", layers=3)


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the checkpoint that a test may spoil."""
    return shutil.copytree(made, tmp_path / "enc")


def rows(*texts, split="sample", pair=None, label=None):
    return Rows(split, np.arange(len(texts)), list(texts), pair, label)


def tokeniser(folder, store, splits=None, limit=32):
    return Tokeniser(folder, Store(store), splits or {}, "digest", limit)


# --- where weights come from ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_one_sentence(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError) as e:
        weights_folder(tiny.rung("x", folder) if name != "config.json" else source(folder), None)
    assert "enc/" in str(e.value) and name in str(e.value) and "\n" not in str(e.value)


def source(folder):
    return ModelSize("x", "encoder", source=f"file:{folder}")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="'x': no-such/ has no config.json"):
        weights_folder(source(tmp_path / "no-such"), None)


def test_pickled_weights_are_never_opened(folder, tmp_path):
    """A folder with pytorch_model.bin alone is refused, and the pickle in it does not run."""
    proof = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(proof),))

    (folder / "model.safetensors").unlink()
    torch.save({"x": Evil()}, folder / "pytorch_model.bin")
    rung = source(folder)
    with pytest.raises(InputError, match="no model.safetensors"):
        weights_folder(rung, None)
    with pytest.raises(InputError, match="does not load"):
        open_encoder(rung, folder, CPU)
    assert not proof.exists()


def test_no_code_of_the_folder_runs(folder, tmp_path):
    proof = tmp_path / "ran"
    shape = json.loads((folder / "config.json").read_text())
    shape["model_type"] = "strange"
    shape["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(shape))
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(proof)!r})")
    with pytest.raises(InputError, match="does not load"):
        open_encoder(source(folder), folder, CPU)
    assert not proof.exists()


def test_models_dir_comes_first(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "models" / "here")
    rung = tiny.rung("x", folder, folder="here")
    assert weights_folder(rung, None) == folder
    assert weights_folder(rung, tmp_path / "models") == other
    assert weights_folder(rung, tmp_path) == folder


def test_a_rung_that_is_read_from_models_dir_only(tmp_path):
    rung = ModelSize("x", "encoder", folder="gone")
    with pytest.raises(InputError, match="no folder 'gone' under --models-dir"):
        weights_folder(rung, tmp_path)


def test_the_digest_is_of_the_content_not_the_place(folder, made):
    assert weights_digest(folder) == weights_digest(made)
    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] + 1
    other = shutil.copytree(folder, folder.parent / "other")
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    assert weights_digest(other) != weights_digest(made)


# --- what is built --------------------------------------------------------------------------------


def test_the_encoder_is_float32_in_eval_mode_and_the_checkpoints(folder):
    encoder = open_encoder(tiny.rung("x", folder), folder, CPU)
    assert not encoder.training and encoder.hidden == 32
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    saved = load_file(folder / "model.safetensors")
    ours = encoder.body.state_dict()
    body = {k.removeprefix("bert."): v for k, v in saved.items() if k.startswith("bert.")}
    assert body.keys() == ours.keys() and all(torch.equal(ours[k], v) for k, v in body.items())


@pytest.mark.parametrize("depth", [1, 2])
def test_a_depth_is_the_first_layers_of_the_checkpoint(folder, depth):
    whole = open_encoder(tiny.rung("x", folder), folder, CPU)
    cut = open_encoder(tiny.rung("x", folder, depth=depth, layers=depth), folder, CPU)
    assert len(cut.body.encoder.layer) == depth
    text = tokeniser(folder, folder.parent / "s").encode(rows("red the of"))
    batch = text.batch(np.array([0]), CPU)
    states = whole.body(input_ids=batch.ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(cut(batch), states[depth], rtol=1e-5, atol=1e-6)


def test_a_depth_beyond_the_checkpoint_is_refused(folder):
    with pytest.raises(InputError, match="depth 9 is more than the checkpoint's 3 layers"):
        open_encoder(tiny.rung("x", folder, depth=9), folder, CPU)


def test_a_checkpoint_without_a_weight_is_refused(folder):
    """transformers would fill the gap at random and go on."""
    tensors = load_file(folder / "model.safetensors")
    name = next(k for k in tensors if "layer.1.output.dense.weight" in k)
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lacks weights, first encoder.layer.1.output.dense"):
        open_encoder(tiny.rung("x", folder), folder, CPU)


def test_a_shape_that_does_not_fit_is_refused(folder):
    shape = json.loads((folder / "config.json").read_text())
    shape["intermediate_size"] = 100
    (folder / "config.json").write_text(json.dumps(shape))
    with pytest.raises(InputError, match="enc") as e:
        open_encoder(tiny.rung("x", folder), folder, CPU)
    assert str(e.value).startswith("model 'x'")


def test_the_ladders_parameters_are_checked(folder):
    with pytest.raises(InputError, match="says 7 parameters, the checkpoint has"):
        open_encoder(tiny.rung("x", folder, params=7), folder, CPU)


def test_a_torn_file_of_weights_is_one_sentence(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="does not load"):
        open_encoder(tiny.rung("x", folder), folder, CPU)


def test_loading_is_quiet_and_leaves_the_libraries_as_they_were(folder, capfd):
    from transformers.utils import logging as hf

    hub = logging.getLogger("huggingface_hub")
    hf.set_verbosity_info()
    try:
        before = hf.get_verbosity(), hf.is_progress_bar_enabled(), hub.level
        open_encoder(tiny.rung("x", folder), folder, CPU)
        assert (hf.get_verbosity(), hf.is_progress_bar_enabled(), hub.level) == before
        with pytest.raises(KeyError), quiet_libraries():
            raise KeyError
        assert (hf.get_verbosity(), hf.is_progress_bar_enabled(), hub.level) == before
    finally:
        hf.set_verbosity_warning()
    out = capfd.readouterr()
    assert out.out == out.err == ""


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_padding_changes_no_real_token(tmp_path, kind):
    folder = tiny.write_encoder(tmp_path / kind, layers=2, kind=kind)
    encoder = open_encoder(tiny.rung(kind, folder), folder, CPU)
    texts = tokeniser(folder, tmp_path / "s").encode(rows("red", "red the of and to in it"))
    both = texts.batch(np.array([0, 1]), CPU)
    alone = texts.batch(np.array([0]), CPU)
    assert not both.full and alone.full and not both.mask[0, 3:].any()
    with torch.no_grad():
        padded, plain = encoder(both), encoder(alone)
        torch.testing.assert_close(padded[0, :3], plain[0], rtol=1e-5, atol=1e-6)
        for pooling in ("mean", "cls"):
            torch.testing.assert_close(
                pool(padded, both, pooling)[0], pool(plain, alone, pooling)[0], rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_longest_input_fits_the_table_of_positions(tmp_path, kind):
    """RoBERTa starts to count behind its padding: its last two positions cannot be used."""
    folder = tiny.write_encoder(tmp_path / kind, kind=kind)
    encoder = open_encoder(tiny.rung(kind, folder), folder, CPU)
    words = tokeniser(folder, tmp_path / "s", limit=tiny.POSITIONS)
    texts = words.encode(rows("the " * 100))
    assert texts.lengths.tolist() == [tiny.POSITIONS - 2]
    assert encoder(texts.batch(np.array([0]), CPU)).isfinite().all()


# --- tokens ---------------------------------------------------------------------------------------


def test_tokens_are_the_tokenisers(folder, tmp_path):
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = ["Red, the reds.", "", "xyzzy of"]
    got = tokeniser(folder, tmp_path / "s").encode(rows(*texts))
    for i, text in enumerate(texts):
        ids = got.flat[got.offsets[i] : got.offsets[i + 1]].tolist()
        assert ids == theirs.encode(text).ids
    assert got.lengths.tolist() == [len(theirs.encode(t).ids) for t in texts] and got.pad == 0


def test_texts_are_cut_at_the_longest_input(folder, tmp_path):
    got = tokeniser(folder, tmp_path / "s", limit=8).encode(rows("the " * 30, "red"))
    assert got.lengths.tolist() == [8, 3]
    assert got.flat[7] == tiny.VOCABULARY.index("[SEP]")


def test_a_split_is_tokenised_once_and_read_from_the_store(folder, tmp_path, monkeypatch):
    whole = Rows("train", np.array([2, 5, 9]), ["red", "the of", "green"])
    words = tokeniser(folder, tmp_path / "s", {"train": whole})
    first = words.encode(whole)
    calls = []
    monkeypatch.setattr(Tokeniser, "_tokenise", lambda *a: calls.append(a))
    part = words.encode(whole.take(np.array([2, 0])))
    assert not calls and isinstance(part.flat, np.memmap)
    assert part.rows.tolist() == [2, 0] and part.lengths.tolist() == [3, 3]
    batch = part.batch(np.array([0, 1]), CPU)
    assert batch.ids[:, 1].tolist() == [tiny.VOCABULARY.index(w) for w in ("green", "red")]
    assert np.array_equal(first.flat, part.flat)


def test_stored_tokens_differ_by_data_tokeniser_and_length(folder, tmp_path):
    whole = rows("red the of", split="train")
    store = Store(tmp_path / "s")
    Tokeniser(folder, store, {"train": whole}, "one", 32).encode(whole)
    Tokeniser(folder, store, {"train": whole}, "one", 32).encode(whole)
    assert len(store.keys("tokens")) == 1
    Tokeniser(folder, store, {"train": whole}, "two", 32).encode(whole)
    Tokeniser(folder, store, {"train": whole}, "one", 4).encode(whole)
    assert len(store.keys("tokens")) == 3
    other = shutil.copytree(folder, tmp_path / "other")
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))
    Tokeniser(other, store, {"train": whole}, "one", 32).encode(whole)
    assert len(store.keys("tokens")) == 4


def test_pairs_carry_their_segments(folder, tmp_path):
    got = tokeniser(folder, tmp_path / "s").encode(rows("red the", "of", pair=["green", "blue to"]))
    batch = got.batch(np.array([0, 1]), CPU)
    assert batch.types.tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert batch.tokens == 12 and batch.full
    single = tokeniser(folder, tmp_path / "s").encode(rows("red"))
    assert single.types is None and single.batch(np.array([0]), CPU).types_argument() == {}
