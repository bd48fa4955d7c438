"""The verb `fetch`: a study's results and model, from a service to a folder."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysearch.cli import options
from raysearch.cli.remote import ENDED, POLL_SECONDS, open_server, server, study_id
from raysearch.errors import InputError, RaysearchError
from raysearch.run.folder import TABLE

if TYPE_CHECKING:
    from raysearch.cli.server import Server


@click.command()
@click.argument("study", metavar="ID")
@click.option("--to", type=options.FOLDER, required=True, metavar="DIR", help="Folder to make.")
@click.option("--model", is_flag=True, help="The exported model too; exports it first.")
@click.option("--point", metavar="ID", help="Which point to export.  [the recommended]")
@click.option("--format", "kind", metavar="NAME", help="As `export` knows them.")
@click.option("--int8", is_flag=True, help="Weights in 8 bits.")
@server
def fetch(
    study: str,
    to: Path,
    model: bool,
    point: str | None,
    kind: str | None,
    int8: bool,
    server: str,
    token_file: Path | None,
) -> int:
    r"""Fetch a study's records, frontier and recommendation, and its model.

    \b
    raysearch fetch toy-quick-1f2e3d4c --to results --model
    """
    service, path = open_server(server, token_file), f"/v1/studies/{study_id(study)}"
    if (point or kind or int8) and not model:
        raise InputError("--point, --format and --int8: are for --model")
    if to.exists() and any(to.iterdir() if to.is_dir() else [to]):
        raise InputError(f"--to: '{to}' is not empty; name another")
    service.json("GET", path)  # says at once where there is none
    if model:
        _export(service, path, {"point": point, "format": kind, "int8": int8})
    to.mkdir(parents=True, exist_ok=True)
    service.save(f"{path}/records", to / TABLE, params={"format": "parquet"})
    for name in ("frontier", "recommend"):
        (to / f"{name}.json").write_bytes(service.ask("GET", f"{path}/{name}").content)
    if model:
        service.save(f"{path}/model", to / "model.zip")
        with zipfile.ZipFile(to / "model.zip") as packed:  # it keeps its names inside the folder
            packed.extractall(to)
        (to / "model.zip").unlink()
    print(to)
    return 0


def _export(service: Server, path: str, given: dict[str, Any]) -> None:
    service.json("POST", f"{path}/export", json={k: v for k, v in given.items() if v})
    from tenacity import retry_if_result

    looks = service.attempts(POLL_SECONDS, retry=retry_if_result(lambda s: s["state"] not in ENDED))
    state = looks(lambda: service.json("GET", path, patient=True))
    if state["state"] != "done":
        raise RaysearchError(
            f"the export has {state['state']}: {state['why'] or 'no reason given'}"
        )
