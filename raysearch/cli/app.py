"""The program: its verbs, and how errors end it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from raysearch.cli import (
    answers,
    cascades,
    catalogs,
    domains,
    external,
    fetching,
    measure,
    models,
    pages,
    remote,
    report,
    studies,
)
from raysearch.errors import InputError, RaysearchError, nearest
from raysearch.version import __version__


class Verbs(click.Group):
    """A group that names the nearest verb when one does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; a UsageError in one sentence otherwise."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = nearest(args[0], self.commands)
            guess = f" Did you mean '{hint}'?" if hint else ""
            raise click.UsageError(
                f"no verb '{args[0]}'.{guess} Known: {', '.join(sorted(self.commands))}"
            )
        return super().resolve_command(ctx, args)


VERBS = (
    studies.frontier,
    studies.run,
    studies.resume,
    remote.status,
    answers.confirm,
    measure.measure,
    answers.recommend,
    catalogs.ls,
    catalogs.check,
    catalogs.doctor,
    pages.page,
    report.report,
    cascades.cascades,
    domains.domains,
    external.add_point,
    pages.export_optuna,
    models.export,
    models.predict,
    remote.submit,
    remote.stop,
    remote.logs,
    fetching.fetch,
)


def group(*more: click.Command) -> click.Group:
    """Return the program's group: the verbs of this face, and more beside them."""

    @click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="raysearch", message="%(prog)s %(version)s")
    def app() -> None:
        r"""Which way of training, which model size and how many labels buy the most accuracy.

        \b
        raysearch frontier                 the embedded toy task, no network
        raysearch frontier --task sst2     a task of the catalog (raysearch ls tasks)
        raysearch frontier --task my.csv   your own texts and labels
        """

    app.help = (app.help or "").replace("\\b", "\b")
    for verb in (*VERBS, *more):
        verb.help = (verb.help or "").replace("\\b", "\b")  # click's mark of a block kept as it is
        app.add_command(verb)
    return app


app = group()


def main(args: Sequence[str] | None = None) -> None:
    """Run the verbs of this face alone and exit, as `run` does."""
    run(app, args)


def run(program: click.Group, args: Sequence[str] | None = None) -> None:
    """Run a program and exit: 0 done, 1 something broke, 2 bad input, 130 interrupted."""
    try:
        code = program.main(
            args=None if args is None else list(args),
            prog_name="raysearch",
            standalone_mode=False,
        )
    except click.ClickException as e:
        code = _error(e.format_message(), 2)
    except InputError as e:
        code = _error(str(e), 2)
    except RaysearchError as e:
        code = _error(str(e), 1)
    except (KeyboardInterrupt, click.Abort):
        code = _error("interrupted", 130)
    except BrokenPipeError:
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _error(text: str, code: int) -> int:
    print(f"raysearch: error: {' '.join(text.split())}", file=sys.stderr)
    return code
