"""Send requests to a service: one session, its token, its errors as the program's own."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_fixed,
)

from raysearch.errors import InputError, RaysearchError

TOKEN = "RAYSEARCH_TOKEN"
SECONDS = 330.0
"""Longest a request may take [s]: a submission is checked before it is answered."""
PAUSE_SECONDS = 2.0
AGAIN = 30
"""How often a patient request is sent: for a minute."""
POSTS = 3
"""How often a submission is sent whose answer is lost."""


class NoAnswer(InputError):
    """Nothing came back, or not the whole of it."""


class Retryable(InputError):
    """The service does not do it now: others are at it, or this very request is."""


class Server:
    """A service by its address; every error is one line."""

    def __init__(
        self,
        url: str,
        token_file: Path | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep, self._monotonic = sleep, monotonic
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--server: '{url}' must begin with http:// or https://")
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or a .netrc must not see the token
        self._session.headers["Authorization"] = f"Bearer {_token(token_file)}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        stream: bool = False,
        patient: bool = False,
        **more: Any,
    ) -> requests.Response:
        """Send one request; a patient one waits for a service that is being started again.

        Raises:
            InputError: the service does not answer, or says what was wrong.
            RaysearchError: something broke over there.
        """
        attempts = self.attempts(
            retry=retry_if_exception_type(NoAnswer),
            stop=stop_after_attempt(AGAIN if patient else 1),
        )
        return attempts(lambda: self._ask(method, path, stream=stream, **more))

    def attempts(self, pause: float | None = None, **how: Any) -> Retrying:
        """Return tenacity's loop with this session's pauses; the last error is raised as it is.

        Args:
            pause: between two attempts [s]; None: the usual one.
            how: which errors or results are tried again, and until when, as tenacity has them.
        """
        wait = wait_fixed(PAUSE_SECONDS if pause is None else pause)
        return Retrying(wait=wait, sleep=self._sleep, reraise=True, **how)

    def _ask(self, method: str, path: str, *, stream: bool, **more: Any) -> requests.Response:
        try:
            answer = self._session.request(
                method,
                self._url + path,
                timeout=(10.0, SECONDS),
                stream=stream,
                allow_redirects=False,
                **more,
            )
        except requests.RequestException as e:
            raise NoAnswer(f"{self._url}: no service answers: {type(e).__name__}") from e
        if answer.status_code < 300:
            return answer
        try:
            reason = str(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            reason = f"answers {answer.status_code}: is it a raysearch service?"
        kind = RaysearchError if answer.status_code >= 500 else InputError
        if answer.status_code == 409:
            kind = Retryable
        raise kind(f"{self._url}: {reason}")

    def json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Send one request that is answered by an object."""
        value = self.ask(method, path, **more).json()
        if not isinstance(value, dict):
            raise RaysearchError(f"{self._url}: answers no object")
        return value

    def post_once(self, path: str, body: Any) -> dict[str, Any]:
        """Post something that is made once, though the answer may be lost and it is sent again."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        lost, until = 0, float("inf")

        def again(error: BaseException) -> bool:
            nonlocal lost, until
            if isinstance(error, NoAnswer):
                lost += 1
                until = min(until, self._monotonic() + SECONDS)
                return lost < POSTS
            # perhaps refused for its own sake: the first is still being checked
            return isinstance(error, Retryable) and lost > 0 and self._monotonic() <= until

        attempts = self.attempts(retry=retry_if_exception(again))
        return attempts(lambda: self.json("POST", path, json=body, headers=headers))

    def lines(self, answer: requests.Response) -> Iterator[bytes]:
        """Yield the lines of an answer as they come; NoAnswer where it breaks off."""
        try:
            yield from answer.iter_lines()
        except requests.RequestException as e:
            raise NoAnswer(f"{self._url}: the answer broke off: {type(e).__name__}") from e

    def save(self, path: str, to: Path, **more: Any) -> None:
        """Fetch a file; it takes its name when it is whole."""
        draft = to.with_name(f".{to.name}.part")
        try:
            with self.ask("GET", path, stream=True, **more) as answer, draft.open("wb") as f:
                for piece in answer.iter_content(2**18):
                    f.write(piece)
            os.replace(draft, to)
        except requests.RequestException as e:
            raise NoAnswer(f"{self._url}: the answer broke off: {type(e).__name__}") from e
        finally:
            draft.unlink(missing_ok=True)


def _token(file: Path | None) -> str:
    """Return the token of the file, else of the environment."""
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise InputError(f"--token-file: {file} cannot be read: {e}") from e
    else:
        text = os.environ.get(TOKEN, "").strip()
    if not text or not text.isascii() or not text.isprintable():
        raise InputError(f"no token: set {TOKEN}, or name a file with --token-file")
    return text
