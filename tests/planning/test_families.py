"""Families are found by file name, one for each that the ladder may name."""

from raysearch.config.ladder import FAMILIES, ModelSize
from raysearch.planning import families


def test_every_family_of_the_ladder_has_its_file():
    assert set(families.names()) == set(FAMILIES)
    assert all(families.get(name).name == name for name in families.names())


def test_a_table_takes_less_on_a_cpu_than_on_a_gpu():
    table = ModelSize("t", "dan", buckets=10**8, hidden=10, params=10**9)
    of = families.family_of(table)
    assert of.memory(table, "cpu") == 4e9 + 2**31 < of.memory(table, "cuda") == 16e9


def test_only_a_small_hash_takes_part_unasked():
    baselines = {
        n: families.get("ngram").baseline(ModelSize("h", "ngram", buckets=n))
        for n in (2**16, 2**20)
    }
    assert baselines == {2**16: True, 2**20: False}
    assert not families.get("encoder").baseline(ModelSize("e", "encoder"))
