"""A point's words: those that its record carries, or what its knobs said before records did."""

import json

import pytest

from raysearch.outputs.described import curve_of, label_of
from raysearch.outputs.point_kinds import kinds, raw_kinds
from raysearch.record import OperatingPoint
from raysearch.trial.run import TrialRun
from tests.support import tiny


def test_there_are_kinds():
    assert len(kinds()) >= 2 and raw_kinds() and all(hasattr(k, "words") for k in kinds().values())


def test_what_the_record_says_goes_before_its_knobs():
    old = OperatingPoint("p", 1, {"criterion": "confidence", "threshold": 0.5})
    assert (label_of(old), curve_of(old)) == ("leaves at confidence 0.5", "confidence")
    new = OperatingPoint("p", 1, {"depth": 3}, label="three layers", curve="depth")
    assert (label_of(new), curve_of(new)) == ("three layers", "depth")
    plain = OperatingPoint("p", 1)
    assert (label_of(plain), curve_of(plain)) == ("", "")
    assert OperatingPoint(**json.loads(json.dumps(new.to_json()))) == new
    assert not {"label", "curve"} & set(old.to_json())


@pytest.mark.usefixtures("tiny_ladder")
def test_a_new_trial_writes_the_words_of_its_points(tmp_path):
    world = tiny.world(tiny.write_task(tmp_path / "two", "two"), tmp_path / "out")
    for method, rung, named in (("dan", "table-400", True), ("ngram_linear", "hash-16", False)):
        run = tiny.finish(TrialRun(tiny.configure(world, method, rung), world.place))
        for point in run.record().points:
            bare = OperatingPoint(point.point_id, point.step, point.knobs)
            assert (point.label, point.curve) == (label_of(bare), curve_of(bare))
            assert bool(point.label and point.curve) == named
