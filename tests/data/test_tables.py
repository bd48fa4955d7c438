"""One reader of tables: rows, pieces and whole frames of a file say the same, as pandas says it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysearch.data import frames
from raysearch.data.frames import pieces, read_frame
from raysearch.data.tables_in import Reader
from raysearch.errors import InputError

cell = st.text(st.sampled_from('ab é1 ",;\t\n'), max_size=6)
tables = st.lists(st.lists(cell, min_size=2, max_size=2), min_size=1, max_size=12)
MANY = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def written(rows: list[list[str]], delimiter: str, end: str) -> bytes:
    text = io.StringIO(newline="")
    out = csv.writer(text, delimiter=delimiter, lineterminator=end)
    out.writerow(["text", "label"])
    out.writerows(rows)
    return text.getvalue().encode()


def rows_of(path: Path, at_once: int) -> list[dict[str, str]]:
    return [row for part in Reader(str(path), at_once) for row in part]


@given(tables, st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(max_examples=150, **MANY)
def test_rows_pieces_and_frames_agree_with_pandas(tmp_path, rows, delimiter, end, bom):
    path = tmp_path / "t.csv"
    raw = written(rows, delimiter, end)
    path.write_bytes((b"\xef\xbb\xbf" if bom else b"") + raw)
    wanted = pd.read_csv(
        path, sep=delimiter, dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    whole = read_frame(path)
    pd.testing.assert_frame_equal(whole, wanted)
    assert rows_of(path, 3) == whole.to_dict("records")
    before, frames.ROWS = frames.ROWS, 4
    try:
        parts = list(pieces(path))
    finally:
        frames.ROWS = before
    assert max(map(len, parts)) <= 4
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole)


@pytest.mark.parametrize(
    "header", ["text,,label,", "n,n,n.1,n", ",text", "a,a.1,a", 'text,"te,xt",text.1,text']
)
def test_columns_are_named_as_pandas_names_them(tmp_path, header):
    path = tmp_path / "t.csv"
    path.write_text(header + "\n" + "x," * header.count(",") + "x\n")
    if '"' in header:
        path.write_text(header + "\nx,x,x,x\n")
    wanted = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(read_frame(path).columns) == list(wanted.columns)


def test_lines_end_with_any_end_and_short_rows_are_filled(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"text,label\rone,a\r\rtwo\r\n \nthree,c")
    wanted = [{"text": "one", "label": "a"}, {"text": "two", "label": ""}]
    last = {"text": "three", "label": "c"}
    assert read_frame(path).to_dict("records") == [*wanted, last]
    assert rows_of(path, 2) == [*wanted, {"text": " ", "label": ""}, last]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"text,label\none,a\ntwo,\xff\n", "t.csv: is not UTF-8 at byte 21, line 3; save it as"),
        (b"text,label\none,a\ntwo,b,c\n", "t.csv: line 3 holds 3 fields, the header 2; a text"),
        (b'text,label\n"one\nmore",a\ntwo,b,c\n', "t.csv: line 4 holds 3 fields, the header 2"),
        (b"\n \n", "t.csv: is empty, must hold a header and rows below it"),
    ],
)
def test_rows_and_frames_refuse_in_the_same_words(tmp_path, content, says):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    for read in (read_frame, lambda p: list(pieces(p)), lambda p: rows_of(p, 9)):
        with pytest.raises(InputError, match=says):
            read(path)


def test_values_of_json_stay_as_they_are(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a", "n": 1}\n\n{"text": null, "n": "1", "m": 2.5}\r\n')
    assert rows_of(path, 5) == [{"text": "a", "n": 1}, {"text": None, "n": "1", "m": 2.5}]
    whole = read_frame(path)
    assert whole["n"].tolist() == [1, "1"] and whole["text"].tolist() == ["a", None]
    assert whole.dtypes.tolist() == [object] * 3


def test_a_parquet_file_without_rows_has_columns(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"text": pd.Series([], dtype=str), "n": pd.Series([], dtype=int)}).to_parquet(path)
    reader = Reader(str(path), 4)
    assert reader.columns == ("text", "n") and list(reader) == [] and not list(pieces(path))
    with pytest.raises(InputError, match="holds no rows"):
        read_frame(path)
