"""The verbs of an operator: serve runs the service, token manages who may use it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raysearch.errors import InputError

if TYPE_CHECKING:
    from raysearch.service.browser_sessions import BrowserSessions
    from raysearch.service.database import Database
    from raysearch.service.settings import Settings
    from raysearch.service.tokens import Tokens

FOLDER = click.Path(path_type=Path)
ROOT = click.option(
    "--root",
    type=FOLDER,
    default=Path("service"),
    show_default=True,
    metavar="DIR",
    help="Where studies, data sets and tokens lie.",
)


def need() -> None:
    """Raise InputError where the service's libraries are not installed."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as e:
        raise InputError(f"{e.name} is not installed: pip install 'raysearch[service]'") from e


@click.command()
@ROOT
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST")
@click.option("--port", type=int, default=8100, show_default=True, metavar="N")
@click.option(
    "--name", "names", multiple=True, metavar="HOST", help="Another name it is addressed by."
)
@click.option(
    "--address",
    default="auto",
    show_default=True,
    metavar="URL",
    help="A Ray dashboard, as http://127.0.0.1:8265; auto: a head of its own.",
)
@click.option("--cpus", type=int, metavar="N", help="CPUs of a head of its own.")
@click.option(
    "--data-dir",
    type=FOLDER,
    envvar="RAYSEARCH_DATA_DIR",
    metavar="DIR",
    help="Folder of data sets as DIR/TASK/{train,validation,test}.parquet; or the hub.",
)
@click.option(
    "--models-dir",
    type=FOLDER,
    envvar="RAYSEARCH_MODELS_DIR",
    metavar="DIR",
    help="Folder of checkpoints (config.json, model.safetensors, tokenizer.json); or the hub.",
)
@click.option(
    "--storage",
    envvar="RAYSEARCH_STORAGE",
    metavar="URI",
    help="Where studies' runs are mirrored, each under its id.",
)
@click.option("--max-studies", type=int, default=50, show_default=True, help="Kept by an owner.")
@click.option("--max-datasets", type=int, default=50, show_default=True, help="Kept by an owner.")
@click.option("--max-mb", type=int, default=256, show_default=True, help="Largest data set.")
@click.option("--owner-trials", type=int, metavar="N", help="Trials at once of one owner.")
@click.option("--allow-hub", is_flag=True, help="Submissions may name data sets of the hub.")
def serve(
    root: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    address: str,
    cpus: int | None,
    data_dir: Path | None,
    models_dir: Path | None,
    storage: str | None,
    max_studies: int,
    max_datasets: int,
    max_mb: int,
    owner_trials: int | None,
    allow_hub: bool,
) -> int:
    r"""Take studies over HTTP and run them on a Ray cluster, one after another or side by side.

    \b
    raysearch serve --root service --data-dir data --models-dir models
    """
    need()
    from raysearch.service.serve import serve as run

    counts = {"--max-studies": max_studies, "--max-datasets": max_datasets, "--max-mb": max_mb}
    counts |= {"--owner-trials": owner_trials or 1, "--cpus": cpus or 1}
    for option, value in counts.items():
        if value < 1:
            raise InputError(f"{option}: {value} given, must be above 0")
    if not 0 < port < 65536:
        raise InputError(f"--port: {port} given, must be 1 to 65535")
    for option, folder in (("--data-dir", data_dir), ("--models-dir", models_dir)):
        if folder is not None and not folder.is_dir():
            raise InputError(f"{option}: no folder '{folder}'")
    settings = _settings(root, host, names)
    from dataclasses import replace

    settings = replace(
        settings,
        data_dir=data_dir,
        models_dir=models_dir,
        storage=storage,
        hub=allow_hub,
        studies=max_studies,
        datasets=max_datasets,
        most_dataset=max_mb * 2**20,
        owner_trials=owner_trials,
    )
    run(settings, host, port, address, lambda line: print(line, flush=True), cpus)
    return 0


def _settings(root: Path, host: str, names: tuple[str, ...]) -> Settings:
    from raysearch.service.paths import Paths
    from raysearch.service.settings import Settings

    known = Settings(Paths(root.resolve()))
    own = {f"[{host}]" if ":" in host else host, *names}
    return Settings(known.paths, hosts=known.hosts | {n.lower() for n in own})


@click.group()
def token() -> None:
    r"""Who may come in: add, ls, revoke, link.

    \b
    raysearch token add anna --role submitter --days 90
    """


@token.command("add")
@click.argument("name")
@click.option("--owner", metavar="NAME", help="Whose studies it reaches.  [default: NAME]")
@click.option("--role", default="submitter", show_default=True, metavar="reader|submitter")
@click.option("--days", type=float, default=90.0, show_default=True, help="How long it holds.")
@ROOT
def add(name: str, owner: str | None, role: str, days: float, root: Path) -> int:
    """Make a token and print it, this once."""
    print(_tokens(root).add(name, owner or name, role, days))
    return 0


@token.command("ls")
@ROOT
def ls(root: Path) -> int:
    """List tokens, without the tokens."""
    for t in _tokens(root).all():
        until = time.strftime("%Y-%m-%d", time.gmtime(t.expires))
        end = "expired" if t.expires <= time.time() else "until"
        print(f"{t.name}: {t.role} of {t.owner}, {end} {until}")
    return 0


@token.command("revoke")
@click.argument("name")
@ROOT
def revoke(name: str, root: Path) -> int:
    """Forget a token, its links and browsers; its next request is refused."""
    _tokens(root).revoke(name)
    print(f"revoked {name}")
    return 0


@token.command("link")
@click.argument("name")
@click.option("--server", default="http://127.0.0.1:8100", show_default=True, metavar="URL")
@ROOT
def link(name: str, server: str, root: Path) -> int:
    """Print a link that lets one browser in, once, within ten minutes."""
    ticket = _sessions(root).link(name)
    print(f"{server.rstrip('/')}/enter?ticket={ticket}")
    return 0


def _tokens(root: Path) -> Tokens:
    from raysearch.service.tokens import Tokens

    return Tokens(_database(root))


def _sessions(root: Path) -> BrowserSessions:
    from raysearch.service.browser_sessions import BrowserSessions
    from raysearch.service.tokens import Tokens

    database = _database(root)
    return BrowserSessions(database, Tokens(database))


def _database(root: Path) -> Database:
    """Open a root's database; the files of earlier releases are read into it first."""
    from raysearch.service import old_files
    from raysearch.service.database import Database
    from raysearch.service.paths import Paths

    paths = Paths(root)
    paths.create()
    database = Database(paths.database)
    if old_files.has_tokens(paths):
        with paths.without_service():
            old_files.import_all(paths, database)
    return database
