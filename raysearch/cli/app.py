"""The program: its verbs, and how errors end it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from raysearch import __version__
from raysearch.cli import (
    answers,
    cascades,
    catalogs,
    domains,
    external,
    fetching,
    measuring,
    models,
    pages,
    remote,
    report,
    serving,
    studies,
)
from raysearch.errors import InputError, RaysearchError, nearest


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


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="raysearch", message="%(prog)s %(version)s")
def app() -> None:
    r"""Which way of training, which model size and how many labels buy the most accuracy.

    \b
    raysearch frontier                 the embedded toy task, no network
    raysearch frontier --task sst2     a task of the catalog (raysearch ls tasks)
    raysearch frontier --task my.csv   your own texts and labels
    """


for verb in (
    studies.frontier,
    studies.run,
    studies.resume,
    remote.status,
    answers.confirm,
    measuring.measure,
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
    serving.serve,
    serving.token,
    remote.submit,
    remote.stop,
    remote.logs,
    fetching.fetch,
):
    verb.help = (verb.help or "").replace("\\b", "\b")  # click's mark of a block kept as it is
    app.add_command(verb)
app.help = (app.help or "").replace("\\b", "\b")


def main(args: Sequence[str] | None = None) -> None:
    """Run the program and exit: 0 done, 1 something broke, 2 bad input, 130 interrupted."""
    try:
        code = app.main(
            args=None if args is None else list(args),
            prog_name="raysearch",
            standalone_mode=False,
        )
    except click.ClickException as e:
        code = _say(e.format_message(), 2)
    except InputError as e:
        code = _say(str(e), 2)
    except RaysearchError as e:
        code = _say(str(e), 1)
    except (KeyboardInterrupt, click.Abort):
        code = _say("interrupted", 130)
    except BrokenPipeError:
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, code: int) -> int:
    print(f"raysearch: error: {' '.join(text.split())}", file=sys.stderr)
    return code
