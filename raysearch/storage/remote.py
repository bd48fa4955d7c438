"""Storage that several machines see: a shared folder or an object store, by pyarrow's file systems.

What is written is immutable: an entry is files under one prefix, its manifest last. Nothing needs a
lock, a rename or a listing that is up to date.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pyarrow import fs
from tenacity import Retrying, retry_if_exception, wait_chain, wait_fixed

from raysearch.errors import InputError, RaysearchError

SCHEMES = ("file", "s3", "gs", "hdfs", "abfs")
"""Of URIs that pyarrow opens."""
PATIENCE = 600.0
"""How long a storage that does not answer is waited for [s]."""
DRAFT = ".draft-"
"""Begins the name of a file that is being written to a folder."""
SOON = 10.0
"""How long a first probe waits [s]."""
PAUSES = (0.2, 1.0, 5.0, 15.0)
"""Between attempts; the last one over and over [s]."""

T = TypeVar("T")


class StorageLost(RaysearchError):
    """The storage has not answered for so long that the study must stop."""


class Remote:
    """A place on shared storage; keys are relative paths with `/` between.

    Args:
        where: a folder's path, or a URI as `s3://bucket/prefix`.
        patience: how long to wait for a storage that does not answer [s].
        sleep: pauses between attempts [s].
        monotonic: the clock of the patience [s].

    Raises:
        InputError: the URI is none that can be opened.
        StorageLost: it does not answer.
    """

    def __init__(
        self,
        where: str,
        *,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.where, self._patience = where, patience
        self._sleep, self._monotonic = sleep, monotonic
        scheme, colon, _ = where.partition("://")
        if not colon:
            self._fs, self._root = fs.LocalFileSystem(), str(Path(where).expanduser().resolve())
            return
        if scheme not in SCHEMES:
            raise InputError(
                f"storage '{where}': no scheme '{scheme}'. Known: {', '.join(SCHEMES)}, or a folder"
            )
        host, _, rest = where.partition("://")[2].partition("/")
        if "@" in host or "_key=" in rest:
            raise InputError(
                f"storage '{scheme}://...': keys do not belong in a URI, which is written down; "
                "put them into the environment"
            )
        try:
            # a bucket without a region in its URI is looked up over the network
            self._fs, path = self._patiently(lambda: fs.FileSystem.from_uri(where))
        except (ValueError, NotImplementedError) as e:
            raise InputError(f"storage '{where}': cannot be opened: {_first(e)}") from e
        self._root = path.rstrip("/")
        if not self._root.strip("/"):
            raise InputError(f"storage '{where}': names no bucket or folder")

    def below(self, name: str) -> Remote:
        """Return a place below this one."""
        return self._like(below(self.where, name), self._patience)

    def usable(self) -> Remote:
        """Write, read and delete a probe; return this place.

        Raises:
            InputError: it does not let us, or does not answer soon.
        """
        soon, key = self._like(self.where, SOON), f"probe-{uuid.uuid4().hex}"
        try:
            soon.write(f"{key}/driver", key.encode())
            if soon.read(f"{key}/driver") != key.encode():
                raise InputError(
                    f"storage '{self.where}': does not give back what is written to it"
                )
            soon.drop(key, "driver")
        except StorageLost as e:
            raise InputError(str(e)) from e
        return self

    def has(self, key: str) -> bool:
        """Return whether a file exists."""
        info = self._patiently(lambda: self._fs.get_file_info(self._path(key)))
        return bool(info.type == fs.FileType.File)

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes; None where it does not exist."""

        def once() -> bytes | None:
            try:
                with self._fs.open_input_stream(self._path(key)) as file:
                    return bytes(file.read())
            except FileNotFoundError:
                return None

        return self._patiently(once)

    def write(self, key: str, data: bytes) -> None:
        """Write a file; on object stores it appears whole or not at all."""

        def once() -> None:
            with self._appearing(key) as file:
                file.write(data)

        self._patiently(once)

    def put(self, folder: Path, key: str, last: str) -> None:
        """Copy a local folder's files below a key, the one named `last` after all others."""
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        for path in sorted(files, key=lambda p: p == folder / last):
            name = path.relative_to(folder).as_posix()
            self._patiently(partial(self._copy_up, path, f"{key}/{name}"))

    def get(self, key: str, folder: Path) -> None:
        """Copy all files below a key into a local folder.

        Raises:
            FileNotFoundError: one was dropped meanwhile.
        """
        for name in self.files(key):
            to = folder / name
            to.parent.mkdir(parents=True, exist_ok=True)
            self._patiently(partial(self._copy_down, f"{key}/{name}", to))

    def files(self, key: str) -> list[str]:
        """Return relative names of the files below a key, sorted; empty where nothing is there."""
        base = self._path(key)

        def once() -> list[Any]:
            choice = fs.FileSelector(base, recursive=True, allow_not_found=True)
            return list(self._fs.get_file_info(choice))

        infos = (i for i in self._patiently(once) if i.type == fs.FileType.File)
        paths = (i.path for i in infos if not i.base_name.startswith(DRAFT))
        return sorted(path.removeprefix(base).lstrip("/") for path in paths)

    def drop(self, key: str, first: str) -> None:
        """Delete what is below a key, the file named `first` before all others."""

        def once() -> None:
            try:
                self._fs.delete_file(self._path(f"{key}/{first}"))
            except FileNotFoundError:
                pass
            try:
                self._fs.delete_dir(self._path(key))
            except FileNotFoundError:
                pass

        self._patiently(once)

    def _like(self, where: str, patience: float) -> Remote:
        return Remote(where, patience=patience, sleep=self._sleep, monotonic=self._monotonic)

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if any(p in ("", ".", "..") for p in parts):
            raise ValueError(f"storage: '{key}' is no key")
        return f"{self._root}/{key}"

    @contextmanager
    def _appearing(self, key: str) -> Iterator[Any]:
        """Open a file to write; readers see it whole or not at all, as on object stores."""
        path = self._path(key)
        if not isinstance(self._fs, fs.LocalFileSystem):
            with self._fs.open_output_stream(path) as file:
                yield file
            return
        whole = Path(path)
        whole.parent.mkdir(parents=True, exist_ok=True)
        draft = whole.with_name(f"{DRAFT}{whole.name}.{uuid.uuid4().hex[:8]}")
        try:
            with draft.open("wb") as file:
                yield file
            draft.replace(whole)
        finally:
            draft.unlink(missing_ok=True)

    def _copy_up(self, source: Path, key: str) -> None:
        with source.open("rb") as file, self._appearing(key) as out:
            shutil.copyfileobj(file, out, 2**22)

    def _copy_down(self, key: str, to: Path) -> None:
        with self._fs.open_input_stream(self._path(key)) as file, to.open("wb") as out:
            shutil.copyfileobj(file, out, 2**22)

    def _patiently(self, act: Callable[[], T]) -> T:
        """Call a function, and call it again while the storage does not answer.

        A missing file is not retried.

        Raises:
            StorageLost: it has not answered for `patience` seconds, or refuses.
        """
        begun = self._monotonic()
        attempts = Retrying(
            retry=retry_if_exception(_unanswered),
            wait=wait_chain(*map(wait_fixed, PAUSES)),
            stop=lambda state: self._monotonic() - begun >= self._patience,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return attempts(act)
        except FileNotFoundError:
            raise
        except OSError as e:
            raise StorageLost(f"storage '{self.where}': {_first(e)}") from e


def below(where: str, name: str) -> str:
    """Return the place of that name below a folder or URI; a URI's options stay at its end.

    >>> below("s3://bucket/x?region=eu-west-1", "runs/a"), below("/mnt/share/", "runs/a")
    ('s3://bucket/x/runs/a?region=eu-west-1', '/mnt/share/runs/a')
    """
    path, mark, options = where.partition("?") if "://" in where else (where, "", "")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


def refused(error: OSError) -> bool:
    """Return True if a retry is useless: wrong keys, no such bucket, no permission, no space.

    >>> refused(PermissionError(13, "Permission denied")), refused(TimeoutError())
    (True, False)
    """
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
        return True
    text = str(error)
    known = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY", "SIGNATURE", "No space left")
    return any(word in text for word in known)


def _unanswered(error: BaseException) -> bool:
    if isinstance(error, FileNotFoundError):
        return False
    return isinstance(error, OSError) and not refused(error)


def _first(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
