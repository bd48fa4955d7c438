"""A study's world: what takes part and why not, configurations, prices and references."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from raysearch import methods
from raysearch.config import catalog
from raysearch.config.catalog import find_rung, find_task, method_spaces
from raysearch.config.space import Proposal
from raysearch.config.study import Study
from raysearch.errors import Infeasible, InputError
from raysearch.ledger import TRAINING
from raysearch.planning import cost_model as pricing_module
from raysearch.planning import eligibility
from raysearch.planning import planner as world_module
from raysearch.planning.planner import Planner
from raysearch.planning.throughput import Rates
from raysearch.storage.checkpoints import weights_folder
from raysearch.training import precision
from raysearch.trial.run import TrialRun
from tests.support import tiny

METHODS = (
    "distill",
    "early_exit",
    "embed_linear",
    "finetune",
    "ngram_linear",
    "prompt",
    "zero_shot",
)
"""Those that take part in the toy task and the tiny ones; there may be more by now."""
FAST = Rates(train=1e9, infer=2e9)


@pytest.fixture(autouse=True)
def rates(monkeypatch):
    """The machine's rates are not measured but said; a test may change them."""
    measured = {"rates": FAST}
    monkeypatch.setattr(pricing_module, "measure", lambda *_: measured["rates"])
    return measured


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The builtin toy task's data and a folder; nothing is downloaded."""
    return tiny.load(find_task("toy")), tmp_path_factory.mktemp("toy")


@pytest.fixture
def two(tmp_path, tiny_ladder):
    """A task of sixty rows on the tiny ladder."""
    return tiny.write_task(tmp_path / "two", "two")


@pytest.fixture
def over(toy):
    """A world over the toy task with these fields of the study."""
    data, out = toy
    return lambda **study: Planner(
        Study(**{"name": "s", "precision": "fp32", **study}), data, out=out
    )


def one_line(error, *parts):
    text = str(error.value)
    assert "\n" not in text and len(text) < 400
    for part in parts:
        assert part in text, text


# What takes part


@pytest.mark.parametrize("named", [True, False])
def test_a_model_larger_than_memory_is_said_in_a_line(two, tmp_path, monkeypatch, named):
    """Before its weights are looked for; named by hand it is an error, else it is left out."""
    from raysearch.config import catalog

    known = catalog.ladder()
    giant = dataclasses.replace(known["roberta-large"], name="giant", params=10**12)
    giant = dataclasses.replace(giant, ladders=(two.ladder,))
    monkeypatch.setattr(catalog, "_ladder", lambda path: {**known, "giant": giant})
    w = tiny.world(two, tmp_path, models=("giant",) if named else None)
    if named:
        with pytest.raises(InputError) as e:
            _ = w.space
        one_line(e, "model 'giant': training takes at least 14901.2 GiB, here are ")
    else:
        assert "giant" not in {r for names in w.space.rungs.values() for r in names}
        assert w.excluded["giant"].startswith("training takes at least 14901.2 GiB, here are ")


def test_a_table_larger_than_memory_is_said_with_its_size(two, tmp_path, monkeypatch):
    """A table needs its own bytes, not those of moments that it may never have."""
    from raysearch.config import catalog

    known = catalog.ladder()
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 6 * 2**18}  # 6 GiB
    monkeypatch.setattr("raysearch.planning.planner.os.sysconf", pages.__getitem__)
    giant = dataclasses.replace(known["dan-1b"], name="dan-2b", params=2 * 10**9)
    monkeypatch.setattr(catalog, "_ladder", lambda path: {**known, "dan-2b": giant})
    assert "dan-1b" in tiny.world(two, tmp_path, models=("dan-1b",)).space.rungs["dan"]
    with pytest.raises(InputError) as e:
        _ = tiny.world(two, tmp_path, models=("dan-2b",)).space
    one_line(e, "model 'dan-2b': training takes at least 9.5 GiB, here are 6.0")


def test_the_toy_task_has_every_method_and_every_rung_of_its_ladder(over):
    w = over(labels=(100, 1000))
    encoders = ("toy-tiny", "toy-mini", "toy-small")
    assert {m: w.space.rungs[m] for m in METHODS} == {
        "distill": encoders,
        "early_exit": encoders[1:],  # one layer has one exit
        "embed_linear": encoders,
        "finetune": encoders,
        "ngram_linear": ("hash-16",),
        "prompt": encoders,
        "zero_shot": encoders,
    }
    assert set(METHODS) <= set(w.space.methods) <= set(methods.names())
    assert w.space.labels == (100, 1000) and w.excluded == {}


def test_named_methods_and_models_alone_take_part(over):
    w = over(methods=("finetune",), models=("toy-mini", "toy-tiny"))
    assert w.space.rungs == {"finetune": ("toy-tiny", "toy-mini")}, "cheap to dear"


def test_named_encoders_bring_the_cheap_end_along(over):
    assert over(models=("toy-tiny",)).space.rungs["ngram_linear"] == ("hash-16",)


def test_budgets_that_the_data_cannot_fill_are_left_out_with_the_number(two, tmp_path):
    w = tiny.world(two, tmp_path, labels=(32, 60, 61, 100))
    rows = len(w.data.splits["train"])
    assert w.space.labels == (32, 60) and rows == 60
    why = {k: v for k, v in w.excluded.items() if "labels" in k}
    reason = "the task has 60 training rows"
    assert why == {"61 labels": reason, "100 labels": reason}
    assert tiny.world(two, tmp_path, labels=(500,)).space.labels == (60,), "then all there are"


def test_a_model_that_is_not_here_is_left_out_with_its_reason(two, tmp_path, monkeypatch):
    known = catalog.ladder()
    gone = dataclasses.replace(known["random-2"], source=f"file:{tmp_path / 'nowhere'}")
    monkeypatch.setattr(catalog, "_ladder", lambda path: {**known, "random-2": gone})
    w = tiny.world(two, tmp_path)
    assert w.space.rungs["finetune"] == ("random-1",)
    assert set(w.excluded) >= {"random-2"} and "config.json" in w.excluded["random-2"]


def test_no_encoder_at_all_is_one_line_with_what_helps(two, tmp_path, monkeypatch):
    known = {k: v for k, v in catalog.ladder().items() if v.family == "ngram"}
    monkeypatch.setattr(catalog, "_ladder", lambda path: known)
    with pytest.raises(InputError) as e:
        _ = tiny.world(two, tmp_path).space
    one_line(e, "no model of its ladder can be used", "--models-dir")
    w = tiny.world(two, tmp_path, methods=("ngram_linear",))
    assert w.space.rungs == {"ngram_linear": ("hash-16",)}, "it needs no encoder"


def test_a_method_that_predicts_no_number_is_left_out(two, tmp_path, monkeypatch):
    task = tiny.write_task(tmp_path / "number", "number")
    find = eligibility.find

    def classes_only(name):
        method = find(name)
        return dataclasses.replace(method, regression=method.regression and name != "ngram_linear")

    monkeypatch.setattr(eligibility, "find", classes_only)
    w = tiny.world(task, tmp_path)
    assert set(w.space.methods) & set(METHODS) == {"embed_linear", "finetune"}
    for name in ("ngram_linear", "distill", "early_exit", "prompt", "zero_shot"):
        assert w.excluded[name] == "predicts classes, the task asks for a number"
    assert set(METHODS) <= set(tiny.world(two, tmp_path).space.methods)


def test_rungs_whose_dearest_trial_takes_too_long_are_left_out_with_the_minutes(over):
    """At these rates the dearest trial of toy-tiny takes some seconds, of toy-small minutes."""
    seconds = {}
    free = over(labels=(1000,))
    for rung in free.space.rungs["finetune"]:
        seconds[rung] = free.predicted_cost(tiny.configure(free, "finetune", rung, 1000)).seconds
    tiny_s, mini_s, small_s = seconds.values()
    assert tiny_s < mini_s < small_s
    limit = (mini_s + small_s) / 120
    small_s = free.predicted_cost(
        tiny.configure(free, "prompt", "toy-small", 1000)
    ).seconds  # the dearest
    w = over(labels=(1000,), trial_minutes=limit)
    assert w.space.rungs["finetune"] == w.space.rungs["embed_linear"] == ("toy-tiny", "toy-mini")
    assert set(w.excluded) == {"toy-small"}
    assert w.excluded["toy-small"] == (
        f"one trial on 1000 labels would take {small_s / 60:.0f} min here, "
        f"more than the study's {limit:g}"
    )


def test_time_is_reckoned_for_the_methods_that_take_part(over):
    """Embedding a text once is cheap where fine-tuning would not be done in time."""
    price = over().predicted_cost(tiny.configure(over(), "finetune", "toy-small", 1000)).seconds
    some = {"labels": (1000,), "trial_minutes": price / 120}
    assert "toy-small" not in over(**some).space.rungs["embed_linear"]
    alone = over(**some, methods=("embed_linear",))
    assert alone.space.rungs["embed_linear"] == ("toy-tiny", "toy-mini", "toy-small")
    assert alone.excluded == {}


def test_a_machine_too_slow_for_any_encoder_keeps_what_is_left(over, rates):
    rates["rates"] = Rates(1e3, 1e3)
    w = over(trial_minutes=1)
    assert set(w.space.methods) & set(METHODS) == {"ngram_linear"}
    assert set(w.excluded) - set(methods.names()) == {"toy-tiny", "toy-mini", "toy-small"}
    assert set(METHODS) - {"ngram_linear"} <= set(w.excluded)
    assert w.excluded["finetune"] == "no model of its family (encoder) takes part"
    with pytest.raises(InputError) as e:
        _ = over(trial_minutes=1, methods=("finetune",)).space
    assert "no method is left to run (" in str(e.value) and "\n" not in str(e.value)
    assert "toy-tiny: one trial on" in str(e.value)


def test_an_unknown_name_gets_the_nearest(over):
    with pytest.raises(InputError, match="no method 'finetun'. Did you mean 'finetune'"):
        _ = over(methods=("finetun",)).space
    with pytest.raises(InputError, match="no rung 'toy-tny'. Did you mean 'toy-tiny'"):
        _ = over(models=("toy-tny",)).space


@pytest.mark.parametrize(
    "missing", [("model.safetensors",), ("config.json",), ("tokenizer.json", "vocab.txt")]
)
def test_a_models_folder_without_weights_is_one_line(toy, tmp_path, missing):
    data, out = toy
    shutil.copytree(weights_folder(find_rung("toy-tiny"), None), tmp_path / "toy-tiny")
    for name in missing:
        (tmp_path / "toy-tiny" / name).unlink(missing_ok=True)
    w = Planner(Study(name="s", models=("toy-tiny",)), data, out=out, models_dir=tmp_path)
    with pytest.raises(InputError) as e:
        _ = w.space
    one_line(e, "toy-tiny", missing[0])
    default = Planner(Study(name="s"), data, out=out, models_dir=tmp_path)
    assert default.space.rungs["finetune"] == ("toy-mini", "toy-small")
    assert missing[0] in default.excluded["toy-tiny"]


# Configurations


def test_a_proposal_becomes_a_whole_configuration(over):
    w = over(seed=7)
    config = tiny.configure(w, "finetune", "toy-tiny", 100, epochs=5)
    assert config.task == "toy" and config.splits == w.data.digest and len(config.weights) == 16
    assert (config.data.train, config.data.validation, config.data.seed) == (100, 100, 0)
    assert config.horizon == max(50, 5 * 7) and config.precision == "fp32"
    plain = dataclasses.asdict(methods.get("finetune").knobs())
    assert all(plain[k] != v for k, v in config.hyper.items()) and config.hyper["epochs"] == 5
    assert w.hyper(config) == {**plain, **method_spaces()["finetune"].default_config, "epochs": 5}


def test_seeds_of_data_and_start_are_the_studys_to_choose(over):
    w, proposal = over(), Proposal("ngram_linear", "hash-16", 32, {})
    a = w.configure(proposal, data_seed=3, init_seed=4)
    assert (a.data.seed, a.init_seed) == (3, 4)
    assert len({a.id, w.configure(proposal).id, w.configure(proposal, data_seed=3).id}) == 3


@pytest.mark.parametrize("labels", [1, 10, 32, 1000, 4000])
def test_budgets_nest_and_validation_is_part_of_them(over, labels):
    w = over()
    budget = tiny.configure(w, "ngram_linear", "hash-16", labels).data
    whole = w.data.slice(w.data.budget(4000))
    assert (budget.train, budget.validation) == (labels, min(labels, 1000))
    for part, rows in zip(w.data.slice(budget)[:2], whole, strict=False):
        assert part.ids.tolist() == rows.ids[: len(part)].tolist()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": 4001}, "toy: 4,001 training labels asked, 4,000 are there"),
        ({"rung": "hash-16"}, "method 'finetune' cannot train a model of family ngram"),
    ],
)
def test_an_impossible_cell_is_infeasible_with_its_reason(over, change, sentence):
    proposal = {"method": "finetune", "rung": "toy-tiny", "labels": 32, **change}
    with pytest.raises(Infeasible) as e:
        over().configure(Proposal(**proposal))
    assert str(e.value) == sentence


def test_a_knob_that_does_not_exist_names_the_file(over):
    with pytest.raises(InputError, match="search_spaces/finetune.yaml: .*'epoch'"):
        over().configure(Proposal("finetune", "toy-tiny", 32, {"epoch": 3}))


@pytest.mark.parametrize(
    ("method", "rung", "knob", "one", "other"),
    [
        ("ngram_linear", "hash-16", "c", 3, 3.0),
        ("finetune", "toy-tiny", "epochs", 7.0, 7),
        ("finetune", "toy-tiny", "warmup", 0, 0.0),
    ],
)
def test_10_and_10_point_0_are_one_configuration(over, method, rung, knob, one, other):
    w = over()
    a, b = (tiny.configure(w, method, rung, **{knob: v}) for v in (one, other))
    assert a == b and a.id == b.id
    assert type(w.hyper(a)[knob]) is type(getattr(methods.get(method).knobs(), knob))
    assert type(a.horizon) is int


def test_the_resolved_precision_enters_the_id(over, monkeypatch):
    def ids(wanted):
        w = over(precision=wanted)
        return [tiny.configure(w, m, r) for m, r in (("finetune", "toy-tiny"), LINEAR)]

    full, half = ids("fp32"), ids("bf16")
    assert (full[0].precision, half[0].precision) == ("fp32", "bf16")
    assert full[0].id != half[0].id
    assert full[1] == half[1] and full[1].precision == "fp32", "n-grams know one precision"
    for speedup, same in ((0.5, full), (3.0, half)):
        monkeypatch.setattr(precision, "_cpu_speedup", lambda s=speedup: s)
        assert ids("auto") == same, "never 'auto' itself"


LINEAR = ("ngram_linear", "hash-16")


def test_the_place_enters_no_id(toy, tmp_path):
    """Another output folder, another folder of the same weights, other threads: the same trial."""
    data, out = toy
    shutil.copytree(weights_folder(find_rung("toy-tiny"), None), tmp_path / "m" / "toy-tiny")
    first = Planner(Study(name="a", precision="fp32"), data, out=out)
    second = Planner(
        Study(name="b", precision="fp32", concurrency=1),
        data,
        out=tmp_path / "out",
        data_dir=tmp_path,
        models_dir=tmp_path / "m",
    )
    a, b = (tiny.configure(w, "finetune", "toy-tiny") for w in (first, second))
    assert a == b and a.id == b.id
    text = json.dumps(b.to_json())
    assert str(tmp_path) not in text and "/" not in text


# Prices


@pytest.mark.parametrize(
    ("method", "rung", "labels", "low", "high"),
    [
        ("ngram_linear", "hash-16", 1000, 0.8, 1.2),
        ("ngram_linear", "hash-16", 320, 0.8, 1.2),
        ("embed_linear", "toy-tiny", 1000, 0.8, 1.2),
        ("embed_linear", "toy-mini", 1000, 0.8, 1.2),
        ("finetune", "toy-tiny", 320, 0.8, 1.2),
        ("finetune", "toy-tiny", 100, 0.8, 1.2),
        ("embed_linear", "toy-tiny", 100, 0.8, 1.2),
        ("embed_linear", "toy-tiny", 32, 0.8, 1.2),
        ("finetune", "toy-tiny", 32, 0.8, 1.2),
        ("finetune", "toy-mini", 10, 0.7, 1.3),
        # How many iterations a small fit takes is a guess.
        ("ngram_linear", "hash-16", 32, 0.5, 1.2),
    ],
)
def test_the_price_is_the_bill_within_a_fifth(over, method, rung, labels, low, high):
    w = over()
    config = tiny.configure(w, method, rung, labels)
    price = w.predicted_cost(config)
    run = tiny.finish(TrialRun(config, w.place))
    billed = run.ledger.flops(*TRAINING)
    assert low * billed <= price.flops <= high * billed, price.flops / billed
    assert price.labels == run.record().labels_used == 2 * labels and price.seconds > 0


def test_seconds_follow_from_flops_and_rates(over, rates):
    w = over()
    config = tiny.configure(w, "finetune", "toy-mini", 1000)
    fast = w.predicted_cost(config)
    rates["rates"] = Rates(FAST.train / 10, FAST.infer / 10)
    slow = over().predicted_cost(config)
    assert slow.flops == fast.flops and slow.seconds > 5 * fast.seconds
    assert w.test_seconds(config) < fast.seconds


def test_a_pricier_configuration_has_a_higher_price(over):
    w = over()

    def flops(method="finetune", rung="toy-tiny", labels=320, **hyper):
        return w.predicted_cost(tiny.configure(w, method, rung, labels, **hyper)).flops

    assert flops() < flops(labels=1000) < flops(rung="toy-mini", labels=1000)
    assert flops(epochs=5) < flops(epochs=10)
    assert flops("embed_linear") < flops("finetune")
    assert flops("ngram_linear", "hash-16") < flops("embed_linear")


def drawn(rng, space):
    """A proposal drawn from all of a space."""
    method = str(rng.choice(list(space.methods)))
    hyper = {}
    for knob, domain in space.methods[method].knobs.items():
        if domain.kind == "choice":
            hyper[knob] = domain.options[int(rng.integers(len(domain.options)))]
        elif domain.kind.endswith("randint"):
            hyper[knob] = int(rng.integers(domain.low, domain.high))
        else:
            hyper[knob] = float(rng.uniform(domain.low, domain.high))
    rung = str(rng.choice(space.rungs[method]))
    return Proposal(method, rung, int(rng.choice(space.labels)), hyper)


def test_no_configuration_is_dearer_than_the_reference(over):
    w = over(labels=(32, 320, 1000))
    reference, rng = w.reference(), np.random.default_rng(0)
    prices = [w.predicted_cost(w.configure(drawn(rng, w.space))).flops for _ in range(150)]
    top = reference["train_flops_full"]
    assert max(prices) <= top * (1 + 1e-9) and max(prices) > 0.05 * top, "near, not far above"
    assert set(reference) == {"score", "train_flops_full", "infer_flops"}
    assert 0 < reference["infer_flops"] < top / 1000


def test_the_reference_in_inference_is_one_text_through_the_largest_model(over):
    w = over(labels=(100,), models=("toy-tiny",), methods=("finetune", "embed_linear"))
    run = tiny.finish(TrialRun(tiny.configure(w, "embed_linear", "toy-tiny", 100), w.place))
    found = run.record().points[0].infer_flops
    assert w.reference()["infer_flops"] == pytest.approx(found, rel=0.05)


def test_the_baseline_is_the_commonest_training_class_on_test(over, two, tmp_path):
    w = over()
    train, test = (w.data.splits[s].label for s in ("train", "test"))
    common = int(np.bincount(train).argmax())
    assert w.baselines() == {"majority": pytest.approx((test == common).mean())}
    assert w.reference()["score"] == w.baselines()["majority"]
    assert 0.3 < w.baselines()["majority"] < 0.7
    number = tiny.world(tiny.write_task(tmp_path / "n", "number"), tmp_path)
    assert number.baselines() == {"majority": 0.0}, "a constant correlates with nothing"


def test_a_task_whose_test_labels_are_hidden_has_no_baseline(over):
    w = over()
    hidden = dataclasses.replace(w.data.splits["test"], label=None)
    w.data = dataclasses.replace(w.data, splits={**w.data.splits, "test": hidden})
    assert w.baselines() == {} and w.reference()["score"] == 0.0


def test_keep_drops_the_weights_of_all_others(two, tmp_path):
    w = tiny.world(two, tmp_path)
    runs = [tiny.finish(tiny.trial(w, *LINEAR, ngrams=n)) for n in (1, 2, 3)]
    w.keep({runs[1].config.id, "never-run"})
    again = [TrialRun(r.config, w.place).restore_weights() for r in runs]
    assert again == [False, True, False]


def test_threads_are_shared_out_among_the_trials_at_work(over, monkeypatch):
    monkeypatch.setattr(world_module.os, "cpu_count", lambda: 8)
    for concurrency, threads in ((1, 8), (3, 2), (8, 1), (20, 1)):
        place = over(concurrency=concurrency).place
        assert (place.concurrency, place.threads) == (concurrency, threads)
    assert over().place.concurrency * over().place.threads == 8
