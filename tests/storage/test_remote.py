"""Shared storage: a folder and a real S3 server, the same questions to both."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from raysearch.errors import InputError
from raysearch.storage.remote import Remote, StorageLost
from raysearch.storage.store import MANIFEST, Store
from tests.support.s3 import Server, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "folder":
        return Remote(str(tmp_path / "share"))
    server = request.getfixturevalue("server")
    return Remote(server.bucket(f"b{time.monotonic_ns()}") + "/of/a-team", patience=2.0)


def note(text: str):
    def fill(folder: Path) -> dict[str, str]:
        (folder / "below").mkdir()
        (folder / "below" / "note.txt").write_text(text)
        return {"says": text}

    return fill


def test_what_is_written_is_read(remote: Remote) -> None:
    assert not remote.has("a/b.txt") and remote.read("a/b.txt") is None and remote.files("a") == []
    remote.write("a/b.txt", b"one")
    remote.write("a/b.txt", b"two")
    remote.write("a/c/d", b"")
    assert remote.has("a/b.txt") and remote.read("a/b.txt") == b"two"
    assert remote.files("a") == ["b.txt", "c/d"]
    assert not remote.has("a")  # a folder is no file
    assert remote.below("a").read("b.txt") == b"two"
    remote.drop("a", "b.txt")
    remote.drop("a", "b.txt")
    assert remote.files("a") == []


@pytest.mark.parametrize("key", ["", "../x", "a//b", "a/./b", "/a"])
def test_a_key_never_leaves_its_root(remote: Remote, key: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        remote.write(key, b"x")


def test_two_machines_see_one_store(remote: Remote, tmp_path: Path) -> None:
    first, second = Store(tmp_path / "here", remote), Store(tmp_path / "there", remote)
    made = first.build("tokens", "a", note("one"))
    assert made == tmp_path / "here" / "tokens" / "a"
    found = second.entry("tokens", "a")
    assert found == tmp_path / "there" / "tokens" / "a"
    assert (found / "below" / "note.txt").read_text() == "one"
    assert second.build("tokens", "a", note("two")) == found  # it is there: not built again
    assert (found / "below" / "note.txt").read_text() == "one"
    assert first.keys("tokens") == second.keys("tokens") == ["a"]
    assert second.entry("tokens", "b") is None and second.keys("other") == []


def test_what_is_dropped_is_gone_behind_too(remote: Remote, tmp_path: Path) -> None:
    first, second = Store(tmp_path / "here", remote), Store(tmp_path / "there", remote)
    for key in "abc":
        second.build("weights", key, note(key))
    first.keep_only("weights", {"c"})
    assert first.keys("weights") == ["c"] and first.entry("weights", "a") is None
    second.build("weights", "d", note("d"))  # its own copies of the dropped ones go then
    assert sorted(p.name for p in (tmp_path / "there" / "weights").iterdir()) == ["c", "d"]
    first.drop_all("weights")
    assert first.keys("weights") == []


def test_an_entry_without_its_manifest_does_not_exist(remote: Remote, tmp_path: Path) -> None:
    remote.write("tokens/a/below/note.txt", b"half")
    store = Store(tmp_path / "here", remote)
    assert store.entry("tokens", "a") is None and store.keys("tokens") == []
    store.build("tokens", "a", note("whole"))
    other = Store(tmp_path / "there", remote).entry("tokens", "a")
    assert other is not None and (other / "below" / "note.txt").read_text() == "whole"


def test_a_copy_serves_a_storage_that_was_emptied(remote: Remote, tmp_path: Path) -> None:
    store = Store(tmp_path / "here", remote)
    store.build("data", "a", note("one"))
    remote.drop("data/a", MANIFEST)
    store.build("data", "a", note("two"))
    other = Store(tmp_path / "there", remote).entry("data", "a")
    assert other is not None and (other / "below" / "note.txt").read_text() == "one"


def test_fetch_brings_what_others_have_built(remote: Remote, tmp_path: Path) -> None:
    Store(tmp_path / "there", remote).build("logits", "a", note("one"))
    store = Store(tmp_path / "here", remote)
    store.fetch("logits", "exits")
    assert (tmp_path / "here" / "logits" / "a" / MANIFEST).is_file()


class Clock:
    """Time that passes where somebody sleeps; what is to happen then happens at its second."""

    def __init__(self, events: dict[float, Callable[[], None]] | None = None) -> None:
        self.now, self.pauses, self._events = 0.0, list[float](), events or {}

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        for at in [a for a in self._events if a <= self.now]:
            self._events.pop(at)()

    def monotonic(self) -> float:
        return self.now


def bare(where: str, clock: Clock, patience: float) -> Remote:
    """A storage without the S3 client's own six seconds of trying again."""
    made = Remote(where, patience=patience, sleep=clock.sleep, monotonic=clock.monotonic)
    once = fs.AwsStandardS3RetryStrategy(max_attempts=0)
    made._fs = fs.S3FileSystem(
        endpoint_override=os.environ["AWS_ENDPOINT_URL"], region="us-east-1", retry_strategy=once
    )
    return made


def test_a_server_that_comes_back_is_waited_for(server: Server, tmp_path: Path) -> None:
    clock = Clock({20.0: server.restart})
    store = Store(tmp_path, bare(server.bucket("patient"), clock, patience=60.0))
    server.kill()
    store.build("tokens", "a", note("late"))
    assert clock.pauses == [0.2, 1.0, 5.0, 15.0]
    assert store.keys("tokens") == ["a"]


def test_one_that_stays_away_is_one_line(server: Server) -> None:
    """At once without patience, else when that is over."""
    where = server.bucket("away")
    soon, late = Clock(), Clock()
    first, second = bare(where, soon, 0.0), bare(where, late, 50.0)
    server.kill()
    try:
        for gone in (first, second):
            with pytest.raises(StorageLost, match=r"^storage 's3://away': .*") as e:
                gone.has("a")
            assert "\n" not in str(e.value)
    finally:
        server.restart()
    assert soon.pauses == [] and late.pauses == [0.2, 1.0, 5.0, 15.0, 15.0, 15.0]


def test_what_can_never_go_well_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(StorageLost, match="NO_SUCH_BUCKET"):
        Remote("s3://there-is-no-such-bucket/x").write("a", b"x")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageLost, match="file"):
        Remote(str(tmp_path / "file")).write("a", b"x")
    assert time.monotonic() - begun < 20.0


def test_who_reads_sees_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    place, seen = Remote(str(tmp_path)), set()
    place.write("a/b", b"0" * 2**22)
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.add((len(place.read("a/b") or b""), tuple(place.files("a"))))

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(20):
        place.write("a/b", b"1" * 2**22)
    over.set()
    watcher.join()
    assert seen == {(2**22, ("b",))}


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("s4://bucket/x", "no scheme 's4'. Known: file, s3"),
        ("s3://", "names no bucket or folder"),
        ("s3://key:secret@bucket/x", "keys do not belong in a URI"),
        ("s3://bucket/x?secret_key=secret", "keys do not belong in a URI"),
        ("s3://bucket/x?no_such_option=1", "cannot be opened"),
    ],
)
def test_a_place_that_is_none_is_said_at_once(where: str, says: str) -> None:
    with pytest.raises(InputError, match="storage '") as e:
        Remote(where)
    assert says in str(e.value) and "secret" not in str(e.value)
