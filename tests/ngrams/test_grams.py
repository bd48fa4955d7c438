"""N-gram vocabularies: exact, deterministic, and the same rows however texts are batched."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from raysearch.errors import InputError
from raysearch.ngrams import bags, dan_numpy
from raysearch.ngrams.bags import FrequentVocabulary, HashedVocabulary, NgramIds
from raysearch.ngrams.dan_numpy import MOST, WORD, Lookup
from raysearch.ngrams.grams import frequent
from raysearch.ngrams.growable import GrowableMemmap
from raysearch.ngrams.hashed import PATTERN

ALPHABET = ["a", "b", "c", "it", "'", "s", "good", "!", "é", "ß"]


def some_texts(n: int = 300, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    odds = 1 / np.arange(1, len(ALPHABET) + 1)
    return [
        " ".join(rng.choice(ALPHABET, rng.integers(0, 30), p=odds / odds.sum())) for _ in range(n)
    ]


def counted(texts: list[str], ngrams: int) -> Counter[tuple[str, ...]]:
    """Every n-gram with its count, the slow way."""
    out: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = WORD.findall(text.lower())
        for n in range(1, ngrams + 1):
            out.update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return out


def ranked(texts: list[str], ngrams: int) -> list[str]:
    """Their names, commonest first; ties to the shorter, then to the first words."""
    count = counted(texts, ngrams)
    return [" ".join(g) for g in sorted(count, key=lambda g: (-count[g], len(g), g))]


@pytest.mark.parametrize("ngrams", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [1, 7, 60, 400])
def test_the_commonest_are_those_of_a_full_count(ngrams: int, rows: int) -> None:
    texts = some_texts()
    known = ranked(texts, ngrams)
    if rows > len(known):
        with pytest.raises(InputError, match=f"{rows:,} n-grams asked, the texts hold"):
            frequent(texts, rows, ngrams)
        return
    found = frequent(texts, rows, ngrams)
    assert [found.name(i) for i in range(found.rows)] == known[:rows]


def test_chunks_and_merges_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = some_texts()
    whole = frequent(texts, 200, 3)
    monkeypatch.setattr(bags, "TEXTS", 7)
    parts = frequent(texts, 200, 3)
    assert parts.words == whole.words
    assert np.array_equal(parts.parent, whole.parent) and np.array_equal(parts.last, whole.last)
    a, b = parts.bags(texts), frequent(texts[::-1], 200, 3).bags(texts)
    assert np.array_equal(a.ids, b.ids) and np.array_equal(a.offsets, b.offsets)


@pytest.mark.parametrize("rows", [3, 60, 400])
@pytest.mark.parametrize("in_memory", [0, 100, 5000])
def test_what_does_not_fit_in_memory_changes_nothing(
    in_memory: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bags, "TEXTS", 7)
    texts = some_texts()
    whole, parts = frequent(texts, rows, 3), frequent(texts, rows, 3, in_memory=max(in_memory, 8))
    assert parts.words == whole.words
    assert np.array_equal(parts.parent, whole.parent) and np.array_equal(parts.last, whole.last)
    two = frequent(texts[:100], rows, 3, texts[100:], in_memory=max(in_memory, 8))
    assert np.array_equal(two.parent, whole.parent) and np.array_equal(two.last, whole.last)


def test_numbers_beyond_memory_stand_in_a_file() -> None:
    parts = [np.arange(n, dtype=np.int32) for n in (3, 0, 900, 5)]
    for in_memory in (0, 10, 10**6):
        column = GrowableMemmap(np.int32, in_memory)
        for part in parts:
            column.add(part)
        found = column.whole()
        assert isinstance(found, np.memmap) == (in_memory < 10**6) and len(column) == 908
        assert np.array_equal(found, np.concatenate(parts))
        found[3:5] = 7
        assert found[2:6].tolist() == [2, 7, 7, 2]
    assert (
        GrowableMemmap(np.int32, 0).whole().tolist()
        == GrowableMemmap(np.int64).whole().tolist()
        == []
    )


def test_prefix_and_last_word_stand_above() -> None:
    found = frequent(some_texts(), 300, 4)
    rows_ = np.arange(found.rows)
    longer = found.parent >= 0
    assert longer.any() and (found.parent[longer] < rows_[longer]).all()
    assert (found.last[longer] < rows_[longer]).all()
    assert (found.last[~longer] == rows_[~longer]).all()


@pytest.mark.parametrize("ngrams", [1, 3])
def test_a_bag_is_the_texts_known_n_grams_by_where_they_start(ngrams: int) -> None:
    texts = some_texts(40)
    found = frequent(texts, 80 if ngrams == 3 else 8, ngrams)
    row = {found.name(i): i for i in range(found.rows)}
    bags = found.bags(["zzz unknown", *texts, ""])
    assert len(bags) == 42 and bags.sizes[0] == bags.sizes[-1] == 0
    for k, text in enumerate(texts, 1):
        words = WORD.findall(text.lower())
        expected = [
            row[name]
            for i in range(len(words))
            for n in range(1, ngrams + 1)
            if i + n <= len(words) and (name := " ".join(words[i : i + n])) in row
        ]
        assert bags.take(np.array([k])).ids.tolist() == expected


def test_one_text_at_a_time_is_the_same() -> None:
    texts = [*some_texts(20), "", "a\x00b", "\n\t"]
    for vocabulary in (frequent(some_texts(), 90, 3), HashedVocabulary(1000, 3)):
        together = vocabulary.bags(texts)
        each = [vocabulary.bags([t]) for t in texts]
        for alone in (
            vocabulary.bags(*([t] for t in texts)),
            vocabulary.bags(texts[:3], texts[3:]),
        ):
            assert np.array_equal(together.ids, alone.ids)
            assert np.array_equal(together.offsets, alone.offsets)
        assert together.ids.tolist() == [i for b in each for i in b.ids.tolist()]


@pytest.mark.parametrize("ngrams", [1, 2, 3, 4])
def test_a_word_alone_has_one_n_gram(ngrams: int) -> None:
    texts = ["a b c"] * 1024 + ["good"]
    hashed = HashedVocabulary(1000, ngrams)
    assert hashed.bags(["good"]).sizes.tolist() == [1] == hashed.bags(texts).sizes[-1:].tolist()
    assert hashed.collisions(["good"])[0] == 1
    assert frequent(texts, 2, ngrams).bags(["good", ""]).sizes.tolist()[1] == 0


def test_long_texts_keep_what_starts_first() -> None:
    text = " ".join(["a b c"] * 2000)
    for vocabulary in (frequent([text], 9, 3), HashedVocabulary(50, 3)):
        both = vocabulary.bags([text, "a b", text])
        short = vocabulary.bags([" ".join(["a b c"] * 300)])
        assert both.sizes.tolist() == [MOST, 3, MOST]
        assert both.ids[: len(short.ids) - 10].tolist() == short.ids[:-10].tolist()


def test_the_smaller_vocabulary_is_the_first_rows() -> None:
    texts = some_texts()
    large, small = frequent(texts, 300, 3), frequent(texts, 40, 3)
    cut = large.first(40)
    assert cut.words == small.words
    assert np.array_equal(cut.parent, small.parent) and np.array_equal(cut.last, small.last)
    a, b = large.bags(texts).below(40), small.bags(texts)
    assert np.array_equal(a.ids, b.ids) and np.array_equal(a.offsets, b.offsets)


def test_a_vocabulary_comes_back_from_its_tensors() -> None:
    found = frequent([*some_texts(), "\ud800 odd"], 120, 3)
    again = FrequentVocabulary.restored(found.state(), 3)
    assert again.words == found.words
    assert np.array_equal(again.parent, found.parent) and np.array_equal(again.last, found.last)


@pytest.mark.slow
def test_hashes_are_the_same_in_every_process() -> None:
    code = (
        "from raysearch.ngrams.bags import HashedVocabulary\n"
        "print(HashedVocabulary(1000003, 3).bags(['It is é good!', '']).ids.tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{HashedVocabulary(1000003, 3).bags(['It is é good!', '']).ids.tolist()}\n"}


def test_hashed_n_grams_are_as_many_as_there_are_and_order_matters() -> None:
    bags = HashedVocabulary(2**31 - 1, 3).bags(["a b c d", "b a c d", "a"])
    assert bags.sizes.tolist() == [9, 9, 1]
    one, two = (bags.take(np.array([k])).ids.tolist() for k in (0, 1))
    assert len(set(one)) == 9 and one != two
    assert bags.ids[-1] == one[0]
    single = HashedVocabulary(2**31 - 1, 1).bags(["a b c d", "b a c d"])
    assert sorted(single.ids[:4]) == sorted(single.ids[4:])


def test_a_lookup_finds_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    keys = np.unique(rng.integers(0, 2**62, 5000))
    found = Lookup(keys, np.arange(len(keys)))
    assert np.array_equal(found(keys), np.arange(len(keys)))
    others = np.setdiff1d(rng.integers(0, 2**62, 5000), keys)
    assert (found(others) == -1).all()
    assert (Lookup(np.empty(0, np.int64), np.empty(0, np.int64))(keys) == -1).all()


def test_scramble_is_one_to_one() -> None:
    x = np.arange(100_000, dtype=np.uint64)
    assert len(np.unique(dan_numpy.scramble(x))) == len(x)


def test_no_words_at_all_is_one_line() -> None:
    with pytest.raises(InputError, match="the texts hold 0 of up to 2 words") as e:
        frequent(["", "  "], 5, 2)
    assert "\n" not in str(e.value)
    with pytest.raises(InputError, match="ngrams: must be 1 or more, not 0"):
        frequent(["a"], 1, 0)


def test_bags_are_cut_where_rows_are_dropped() -> None:
    bags = NgramIds(np.array([3, 0, 5, 1], np.int32), np.array([0, 2, 2, 4]))
    cut = bags.below(3)
    assert cut.ids.tolist() == [0, 1] and cut.offsets.tolist() == [0, 1, 1, 2]


def test_words_are_those_of_the_other_n_gram_models() -> None:
    assert WORD.pattern == PATTERN


@pytest.mark.parametrize(("rows", "ngrams"), [(3, 1), (40, 2), (10**6, 3)])
def test_collisions_are_those_of_a_full_count(rows: int, ngrams: int) -> None:
    texts = some_texts(60)
    vocabulary = HashedVocabulary(rows, ngrams)
    holds: dict[int, set[str]] = {}
    for gram in counted(texts, ngrams):
        alone = vocabulary.bags([" ".join(gram)])
        holds.setdefault(int(alone.ids[_whole(len(gram), ngrams)]), set()).add(" ".join(gram))
    shared = sum(len(several) > 1 for several in holds.values())
    assert vocabulary.collisions(texts[:7], texts[7:]) == (len(holds), shared)
    assert vocabulary.collisions([""]) == (0, 0)


def _whole(words: int, ngrams: int) -> int:
    """Where the n-gram of all words of a text stands in its bag: they go by where they start."""
    return min(words, ngrams) - 1
