"""Records on shared storage: one writer at a time, nothing taken over unseen, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.run.folder import RunFolder
from raysearch.storage.mirror import LostOwnership, Mirror
from raysearch.storage.remote import Remote
from raysearch.storage.store import Store
from raysearch.storage.trial_checkpoints import TrialCheckpoints


def folder(path: Path, *lines: str) -> RunFolder:
    path.mkdir(parents=True)
    (path / "records.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return RunFolder(path)


def add(at: RunFolder, text: str) -> None:
    with at.records.open("a") as f:
        f.write(text)


def test_segments_repeat_what_stands_in_the_folder(tmp_path: Path) -> None:
    local, share = folder(tmp_path / "a", "1", "2"), str(tmp_path / "share" / "runs" / "a")
    mirror = Mirror(share, local)
    assert mirror.meet(adopt=False) is False
    mirror.claim()
    mirror.push()
    add(local, "3\nhalf a li")
    mirror.push()
    mirror.push()
    mirrored = Remote(share)
    names = mirrored.files("records")
    assert b"".join(mirrored.read(f"records/{n}") or b"" for n in names) == b"1\n2\n3\n"
    assert len(names) == 2  # nothing new, no segment

    other = RunFolder(tmp_path / "elsewhere" / "a")
    assert Mirror(share, other).meet() is True
    assert other.records.read_bytes() == b"1\n2\n3\n"


def test_who_claims_last_writes_and_the_other_hears_of_it(tmp_path: Path) -> None:
    share = str(tmp_path / "share")
    first, second = folder(tmp_path / "a", "1"), folder(tmp_path / "b", "1")
    one, two = Mirror(share, first), Mirror(share, second)
    one.meet(adopt=False)
    one.claim()
    one.push()
    two.meet(adopt=False)
    two.claim()
    add(second, "2\n")
    two.push()
    add(first, "3\n")
    with pytest.raises(LostOwnership, match="another driver has taken this run up"):
        one.push()
    names = Remote(share).files("records")
    assert b"".join(Remote(share).read(f"records/{n}") or b"" for n in names) == b"1\n2\n"
    with pytest.raises(InputError, match="holds another run"):
        Mirror(share, first).meet()


def test_a_driver_takes_nothing_over_unseen(tmp_path: Path) -> None:
    share = str(tmp_path / "share")
    full = Mirror(share, folder(tmp_path / "a", "1", "2"))
    full.meet()
    full.claim()
    full.push()
    with pytest.raises(InputError, match="somebody has gone on with it; run it again"):
        Mirror(share, folder(tmp_path / "b", "1")).meet(adopt=False)
    assert (tmp_path / "b" / "records.jsonl").read_bytes() == b"1\n"


def test_checkpoints_leave_no_copies_where_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE_DIR", str(tmp_path / "cache"))
    saves = TrialCheckpoints(tmp_path / "run" / "checkpoints", str(tmp_path / "share"))
    assert saves.newest("t1") is None
    for text in ("one", "two"):
        saves.save("t1", lambda f, text=text: (f / "state").write_text(text) and None)
    assert not list((tmp_path / "cache").glob("*/t1/*"))
    found = saves.newest("t1")
    assert found is not None and (found / "state").read_text() == "two"
    assert len(Remote(str(tmp_path / "share" / "checkpoints")).files("t1")) == 2
    saves.leave("t1")
    saves.drop("t1")
    assert saves.newest("t1") is None


def test_checkpoints_of_versions_without_a_manifest_are_found(tmp_path: Path) -> None:
    old = tmp_path / "t1" / "000003"
    old.mkdir(parents=True)
    (tmp_path / "t1" / "draft-7").mkdir()
    assert TrialCheckpoints(tmp_path).newest("t1") == old


def test_a_run_that_began_without_a_storage_goes_there_whole(tmp_path: Path) -> None:
    def note(f: Path) -> None:
        (f / "x").write_text("x")

    Store(tmp_path / "store").build("weights", "teacher", note)
    share = Remote(str(tmp_path / "share"))
    Store(tmp_path / "store", share).publish("weights", "bills")
    assert Store(tmp_path / "other", share).entry("weights", "teacher") is not None
