"""What the verbs say of clusters and storage that are none: one line, exit 2, nothing begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.workflow import finish
from tests.support.verbs import Say, refused

RUN = ("run", "--task", "toy", "--models", "toy-tiny", "--trials", "1", "--yes")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--storage", "s4://bucket"), "no scheme 's4'. Known: file, s3, gs"),
        (("--storage", "s3://"), "names no bucket or folder"),
        (("--storage", "FILE"), "storage '"),
        (("--gpus-per-trial", "one"), "--gpus-per-trial: 'one' is not a number"),
        (("--gpus-per-trial", "-1"), "--gpus-per-trial: '-1' must be 0 or more"),
        (("--gpus-per-trial", "1.5"), "must be a part of one GPU, or whole ones"),
        (("--down-when-done",), "give --address auto"),
        (("--down-when-done", "--address", "auto"), "head of a cluster that `ray up` made"),
        (("--address", "ray://127.0.0.1:10001"), "run the verb on a node of the cluster"),
    ],
)
def test_one_line(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], says: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAYSEARCH_STORAGE", raising=False)
    (tmp_path / "file").write_text("")
    given = [str(tmp_path / "file") if word == "FILE" else word for word in more]
    refused(say(*RUN, "--out", "run", *given), says)
    assert not (tmp_path / "run" / "records.jsonl").exists()


def test_records_do_not_go_down_with_their_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ray_bootstrap_config.yaml"
    monkeypatch.setattr("raysearch.cluster.autoscaler.BOOTSTRAP", file)
    file.write_text("provider: {type: aws}\n")
    with pytest.raises(InputError, match="records would go with the head"):
        finish.can_go_down(None, "auto")
    assert finish.can_go_down("s3://bucket/x", "auto") == file
    file.write_text("provider: {type: local}\n")
    assert finish.can_go_down(None, "auto") == file
    file.write_text("[")
    with pytest.raises(InputError, match="head of a cluster"):
        finish.can_go_down(None, "auto")
