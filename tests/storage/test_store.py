"""The Store: whole entries or none, whoever builds them and however a builder dies."""

import json
import threading
from pathlib import Path

import pytest
import torch

from raysearch.storage.store import MANIFEST, Store, load_state, save_state


def note(text, facts=None):
    def fill(folder: Path):
        (folder / "note.txt").write_text(text)
        return facts

    return fill


def test_an_entry_is_built_once(tmp_path):
    store = Store(tmp_path)
    assert store.entry("tokens", "a") is None and store.keys("tokens") == []
    first = store.build("tokens", "a", note("one", {"rows": 3}))
    again = store.build("tokens", "a", note("two"))
    assert first == again == store.entry("tokens", "a") == tmp_path / "tokens" / "a"
    assert (again / "note.txt").read_text() == "one"
    assert json.loads((again / MANIFEST).read_text()) == {"rows": 3}
    assert store.keys("tokens") == ["a"]


def test_the_manifest_comes_last(tmp_path):
    store = Store(tmp_path)
    seen = []

    def fill(folder):
        (folder / "note.txt").write_text("x")
        seen.append((store.entry("k", "a"), (folder / MANIFEST).exists(), folder.name))

    store.build("k", "a", fill)
    ((entry, manifest, name),) = seen
    assert entry is None and not manifest and name.startswith(".a.")


def test_a_builder_that_fails_leaves_nothing(tmp_path):
    store = Store(tmp_path)

    def fill(folder):
        (folder / "half.bin").write_bytes(b"1")
        raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        store.build("k", "a", fill)
    assert store.entry("k", "a") is None and list((tmp_path / "k").iterdir()) == []


def test_facts_that_are_no_json_commit_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Store(tmp_path).build("k", "a", note("x", {"nan": float("nan")}))
    assert Store(tmp_path).entry("k", "a") is None


def test_a_torn_entry_is_built_anew(tmp_path):
    store = Store(tmp_path)
    torn = tmp_path / "k" / "a"
    torn.mkdir(parents=True)
    (torn / "note.txt").write_text("half")
    (torn / "left.over").write_text("x")
    assert store.entry("k", "a") is None and store.keys("k") == []
    folder = store.build("k", "a", note("whole"))
    assert (folder / "note.txt").read_text() == "whole" and not (folder / "left.over").exists()


def test_a_draft_that_a_crash_left_is_no_entry(tmp_path):
    """A builder killed between its manifest and its rename leaves a whole draft."""
    store = Store(tmp_path)
    store.build("k", "a", note("x"))
    draft = tmp_path / "k" / ".b.12345678"
    draft.mkdir()
    (draft / MANIFEST).write_text("{}")
    assert store.keys("k") == ["a"]
    store.keep_only("k", {"a"})
    assert store.entry("k", "a") is not None


@pytest.mark.parametrize("torn", [False, True])
def test_many_builders_of_one_key_agree(tmp_path, torn):
    store = Store(tmp_path)
    for round_ in range(12):
        key = f"key-{round_}"
        if torn:
            (tmp_path / "k" / key).mkdir(parents=True)
            (tmp_path / "k" / key / "half").write_text("x")
        barrier, out, errors = threading.Barrier(4), [], []

        def build(key=key, barrier=barrier, out=out, errors=errors):
            try:
                barrier.wait()
                out.append(store.build("k", key, note("same")))
            except Exception as e:
                errors.append(e)

        threads = [threading.Thread(target=build) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not errors and set(out) == {tmp_path / "k" / key}
        assert (out[0] / "note.txt").read_text() == "same" and store.entry("k", key)
    assert not [p for p in (tmp_path / "k").iterdir() if p.name.startswith(".")]


def test_an_entry_that_cannot_be_put_in_place_says_so(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        Store(tmp_path).build("k", "a", note("x"))


@pytest.mark.parametrize("key", ["", "..", ".hidden", "a/b", "../a", "/etc", "a\\b"])
def test_no_key_leaves_the_store(tmp_path, key):
    store = Store(tmp_path / "store")
    for kind, name in (("k", key), (key, "a")):
        for act in (
            lambda kind=kind, name=name: store.entry(kind, name),
            lambda kind=kind, name=name: store.build(kind, name, note("x")),
            lambda kind=kind, name=name: store.drop(kind, name),
        ):
            with pytest.raises(ValueError, match="cannot name an entry"):
                act()
    assert not list(tmp_path.rglob("*"))


def test_drop_and_keep_only(tmp_path):
    store = Store(tmp_path)
    for key in "abc":
        store.build("weights", key, note(key))
    store.build("logits", "a", note("x"))
    store.drop("weights", "a")
    store.drop("weights", "never there")
    assert store.keys("weights") == ["b", "c"]
    store.keep_only("weights", {"c", "elsewhere"})
    assert store.keys("weights") == ["c"] and store.keys("logits") == ["a"]
    assert (store.build("weights", "a", note("new")) / "note.txt").read_text() == "new"


def test_a_state_round_trips(tmp_path):
    state = {
        "steps": 3,
        "best": None,
        "name": "x",
        "list": [1, 2],
        "w": torch.arange(6.0).view(2, 3),
        "turned": torch.arange(6.0).view(2, 3).t(),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "none": torch.empty(0, dtype=torch.int64),
    }
    save_state(tmp_path / "s", state)
    back = load_state(tmp_path / "s")
    assert set(back) == set(state)
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(back[name], value) and back[name].dtype == value.dtype
        else:
            assert back[name] == value
    save_state(tmp_path / "s", {"steps": 4})
    assert load_state(tmp_path / "s") == {"steps": 4}
    assert {p.name for p in (tmp_path / "s").iterdir()} == {"state.json", "state.safetensors"}


def test_a_state_with_a_value_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(ValueError):
        save_state(tmp_path, {"loss": float("nan")})
    with pytest.raises(TypeError):
        save_state(tmp_path, {"object": object()})
