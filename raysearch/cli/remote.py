"""The verbs that speak to a service: submit, stop, logs, fetch, and status with --server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from raysearch.cli import options, studies
from raysearch.config.names import checked
from raysearch.config.option import options_of, parsed, put_in
from raysearch.config.study import Study
from raysearch.errors import InputError
from raysearch.workflow.options import gpus_of

if TYPE_CHECKING:
    from raysearch.cli.server import Server

FILES = (".csv", ".tsv", ".jsonl", ".parquet")
OWN = ("text", "label", "group", "score", "words")
"""Options of own data that a submission has under the same name."""
ENDED = ("done", "failed", "stopped")
POLL_SECONDS = 1.0
"""Between two looks at a study that has not ended [s]."""
REFUSED = {"out": None, "address": None, "dry_run": False, "unlabelled": None, "storage": None}
"""Options of `frontier` that are the service's own business, with what says they are not given."""

server: Callable[[Any], Any] = options.group(
    click.option(
        "--server",
        envvar="RAYSEARCH_SERVER",
        metavar="URL",
        required=True,
        help="A service, as http://127.0.0.1:8100; or RAYSEARCH_SERVER.",
    ),
    click.option(
        "--token-file",
        type=options.FOLDER,
        metavar="FILE",
        help="A file that holds the token; or RAYSEARCH_TOKEN.",
    ),
)


def open_server(url: str, token_file: Path | None) -> Server:
    """Open a session with a service; InputError without a token."""
    from raysearch.cli.server import Server

    return Server(url, token_file)


@click.command()
@server
@options.data
@options.search
@click.option("--gpus", type=int, default=0, metavar="N", help="GPUs it waits for.")
@click.option("--follow", is_flag=True, help="Watch it until it has ended.")
def submit(
    server: str, token_file: Path | None, gpus: int, follow: bool, as_json: bool, **given: Any
) -> int:
    r"""Have a service run a study; a file that --task or --pool names is uploaded first.

    \b
    raysearch submit --server http://127.0.0.1:8100 --task tickets.csv --label queue
    """
    given.pop("yes", None)
    typed = click.get_current_context().get_parameter_source
    if typed("storage") == ParameterSource.ENVIRONMENT:  # meant for studies that run here
        given["storage"] = None
    for name, nothing in REFUSED.items():
        if given.pop(name, nothing) != nothing:
            raise InputError(f"--{name.replace('_', '-')}: has no meaning for a service")
    service = open_server(server, token_file)
    body = submission(given, lambda path: _upload(service, path))
    if gpus:
        body["gpus"] = gpus
    made = service.post_once("/v1/studies", body)
    if as_json and not follow:
        print(json.dumps(made))
        return 0
    print(f"{made['id']}: {made['why'] or made['state']}", flush=True)
    return _follow(service, made["id"], as_json) if follow else 0


def submission(given: dict[str, Any], upload: Callable[[Path], str]) -> dict[str, Any]:
    """Return the options of `frontier` as the body of a submission; files become data sets' ids.

    Raises:
        InputError: an option that a service does not take, or one that cannot be read.
    """
    out: dict[str, Any] = {k: given.pop(k, None) for k in OWN}
    out["gpus_per_trial"] = gpus_of(given)
    out["template"] = list(given.pop("template", ()))
    for key, own in (("task", "dataset"), ("pool", "pool_dataset")):
        name = given.pop(key, None)
        if name is not None and Path(name).suffix.lower() in FILES:
            out[own] = upload(Path(name))
        else:
            out[key] = name
    study = given.pop("study", None)
    if study is not None and study.endswith((".yaml", ".yml")):
        from raysearch.config.strict import load_yaml

        out["study"] = load_yaml(Path(study))
    else:
        out["study"] = study
    settable = options_of(Study)
    values = parsed(settable, given, {})
    for option in settable:
        if (value := values.get(option.name)) is not None:
            put_in(out, option.keys, list(value) if isinstance(value, tuple) else value)
    for name in ("gpus_per_trial", *(o.name for o in settable)):
        given.pop(name, None)
    left = [k for k, v in given.items() if v is not None and v is not False and v != ()]
    if left:
        raise InputError(f"--{left[0].replace('_', '-')}: a service does not take it")
    return {k: v for k, v in out.items() if v is not None and v is not False and v not in ([], {})}


def _upload(service: Server, path: Path) -> str:
    try:
        with path.open("rb") as f:
            dataset = service.json("POST", "/v1/datasets", params={"name": path.name}, data=f)
    except OSError as e:
        if isinstance(e, FileNotFoundError | PermissionError | IsADirectoryError):
            raise InputError(f"{path}: cannot be read: {e.strerror}") from e
        raise
    return str(dataset["id"])


def _follow(service: Server, id_: str, as_json: bool) -> int:
    """Print a line at each change until the study has ended; 0 when it is done."""
    from tenacity import retry_if_exception, retry_if_result

    from raysearch.cli.server import AGAIN, NoAnswer

    last, study, broken = "", {}, 0

    def again(error: BaseException) -> bool:  # the study goes on without its service
        nonlocal broken
        broken += 1
        return isinstance(error, NoAnswer) and broken < AGAIN

    def watch() -> bool:
        """Print what is new until the stream ends; return whether the study has ended."""
        nonlocal last, study, broken
        ended = False
        with service.ask("GET", f"/v1/studies/{id_}/events", stream=True, patient=True) as answer:
            for raw in service.lines(answer):
                ended, broken = ended or raw.startswith(b"event: end"), 0
                if not raw.startswith(b"data: {"):
                    continue
                study = json.loads(raw.removeprefix(b"data: "))
                line = _line(study)
                if line != last and not as_json:
                    print(line, flush=True)
                last = line
        return ended

    service.attempts(retry=retry_if_exception(again) | retry_if_result(lambda ended: not ended))(
        watch
    )
    if as_json:
        print(json.dumps(study))
    return 0 if study.get("state") == "done" else 1


def _line(study: dict[str, Any]) -> str:
    progress = study.get("progress")
    text = f"{study['id']}: {study['state']}"
    if study["verb"] != "frontier":
        text += f" ({study['verb']})"
    if progress:
        text += f", {progress['trials']} of {progress['wanted']} trials"
        if progress["draws"]:
            text += f", {progress['draws']} confirming draws"
    return f"{text}; {study['why']}" if study["why"] else text


@click.command()
@click.argument("out", required=False, metavar="OUT|ID")
@click.option("--server", envvar="RAYSEARCH_SERVER", metavar="URL", help="Ask a service instead.")
@click.option("--token-file", type=options.FOLDER, metavar="FILE", help="Holds the token.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_context
def status(
    ctx: click.Context, out: str | None, server: str | None, token_file: Path | None, as_json: bool
) -> int:
    r"""How far a study is, from its records alone; of a service, one of its studies or all.

    \b
    raysearch status runs/sst2-quick
    raysearch status --server http://127.0.0.1:8100
    """
    if server is None or (out is not None and Path(out).is_dir()):
        if out is None:
            raise InputError("OUT: name a run's folder, or a service with --server")
        code: int = ctx.invoke(studies.status, out=Path(out), as_json=as_json)
        return code
    service = open_server(server, token_file)
    if out is None:
        reply = service.json("GET", "/v1/studies")
        lines = [f"{_line(s)} ({s['owner']})" for s in reply["studies"]] or ["no studies"]
    else:
        reply = service.json("GET", f"/v1/studies/{study_id(out)}")
        lines = [_line(reply)]
    print(json.dumps(reply) if as_json else "\n".join(lines))
    return 0


@click.command()
@click.argument("study", metavar="ID")
@server
def stop(study: str, server: str, token_file: Path | None) -> int:
    r"""Stop a service's study; what it has recorded stays.

    \b
    raysearch stop toy-quick-1f2e3d4c --server http://127.0.0.1:8100
    """
    reply = open_server(server, token_file).json("POST", f"/v1/studies/{study_id(study)}/stop")
    print(_line(reply))
    return 0


@click.command()
@click.argument("study", metavar="ID")
@click.option("--follow", is_flag=True, help="Go on until the study has ended.")
@server
def logs(study: str, follow: bool, server: str, token_file: Path | None) -> int:
    r"""Print what a service's study has said.

    \b
    raysearch logs toy-quick-1f2e3d4c --server http://127.0.0.1:8100
    """
    from tenacity import retry_if_result

    service, at, path = open_server(server, token_file), -65536, f"/v1/studies/{study_id(study)}"

    def rest() -> bool:
        """Print what is new; return whether there may be more."""
        nonlocal at
        state = service.json("GET", path, patient=follow)["state"]
        while True:
            answer = service.ask("GET", f"{path}/logs", params={"start": at}, patient=follow)
            at = int(answer.headers["X-Next"])
            if not answer.content:
                break
            print(answer.content.decode(errors="replace"), end="", flush=True)
        return follow and state not in ENDED

    service.attempts(POLL_SECONDS, retry=retry_if_result(bool))(rest)
    return 0


def study_id(text: str) -> str:
    """Return an id that may stand in an address; InputError otherwise."""
    return checked(text, "study")
