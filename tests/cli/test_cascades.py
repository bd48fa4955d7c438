"""raysearch cascades: the table, JSON, the commands, and every refusal in one line."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import click
import pytest

from raysearch.analysis import read_run
from raysearch.analysis.cascade import cascades, of_pair
from raysearch.cli.app import app
from raysearch.data.task_data import own_task
from tests.support.judged import Recipe, own_csv
from tests.support.judged import write_run as write_judged
from tests.support.passing import Part, write
from tests.support.synthetic import records, write_run
from tests.support.verbs import Say, refused

SMALL = Part("mini-2", 100.0, 0.75, heat=2.0)
LARGE = Part("mini-6", 1000.0, 0.9)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path / "a run", (SMALL, LARGE))
    return tmp_path / "a run"


def test_a_line_a_cascade_and_how_to_take_it_away(say: Say, run: Path) -> None:
    code, out, err = say("cascades", run)
    found = cascades(read_run(run))
    assert code == 0 and not err and len(found) > 3
    for c in found:
        (line,) = [x for x in out.splitlines() if x.strip().startswith(c.point_id[:8] + "  ")]
        assert c.test is not None and f"{c.validation:.3f}" in line and f"{c.test:.3f} [" in line
        assert f" {100 * c.on:.0f} % " in line and f"{c.infer_flops:.2g}" in line.split()[-1]
    assert "Chosen on validation (200 rows), shown on test (600 rows), 3 fresh draws" in out
    assert "pretraining of public checkpoints not counted" in out
    assert "how many do, and infer FLOPs, are of test; " in out
    best = max(found, key=lambda c: c.validation)
    assert f"{best.point_id[:8]}: {best.words}" in out
    assert f"against the second alone: {best.infer_flops / 10:.0f} % of its infer FLOPs" in out
    assert best.infer_flops != best.validation_flops
    _check_commands(out, best.first, best.second, f"{best.threshold:g}")


def _check_commands(out: str, first: str, second: str, threshold: str) -> None:
    """The printed commands name real verbs and options, these points, and a quoted folder."""
    lines = [x.strip() for x in out.splitlines() if x.strip().startswith("raysearch ")]
    assert len(lines) == 3
    for line in lines:
        verb, *rest = shlex.split(line)[1:]
        with click.Context(app.commands[verb]) as context:
            app.commands[verb].make_parser(context).parse_args(list(rest))
    assert first in lines[0] and second in lines[1] and "'" in lines[0]
    assert lines[2].endswith(f"--otherwise second --threshold {threshold}")


def test_another_one_is_named(say: Say, run: Path) -> None:
    found = cascades(read_run(run))
    _, out, _ = say("cascades", run, found[0].point_id[:6])
    assert f"{found[0].point_id[:8]}: {found[0].words}" in out
    _check_commands(out, found[0].first, found[0].second, f"{found[0].threshold:g}")
    refused(say("cascades", run, "zzzz"), "'zzzz' is not one of", found[0].point_id[:8])


def test_json_has_all(say: Say, run: Path) -> None:
    code, out, _ = say("cascades", run, "--json")
    value = json.loads(out)
    found = cascades(read_run(run))
    assert code == 0 and value["score"] == "accuracy" and value["missing"] == ""
    assert [c["point_id"] for c in value["cascades"]] == [c.point_id for c in found]
    first = value["cascades"][0]
    assert first["against"][SMALL.point()] == list(found[0].against[SMALL.point()])
    assert len(first["commands"]) == 3 and first["on"] == found[0].on
    for name in ("infer_flops", "validation_flops", "validation_on", "alone", "own_draw"):
        assert first[name] == getattr(found[0], name)


def test_words_of_users_are_no_markup(say: Say, tmp_path: Path) -> None:
    odd = replace(SMALL, rung="[red]x[/red]")
    write(tmp_path / "run", (odd, LARGE))
    _, out, _ = say("cascades", tmp_path / "run")
    assert "[red]x[/red]" in out


def test_none_is_better_than_the_points_alone(say: Say, tmp_path: Path) -> None:
    write(tmp_path / "run", (replace(SMALL, skill=1.5), replace(LARGE, skill=0.4)))
    code, out, _ = say("cascades", tmp_path / "run")
    assert code == 0 and out.startswith("No cascade beats the confirmed points alone")
    code, out, _ = say("cascades", tmp_path / "run", "--json")
    assert code == 0 and json.loads(out)["cascades"] == []


def test_what_is_missing_is_said(say: Say, run: Path) -> None:
    shutil.rmtree(run / "store" / "logits" / f"{SMALL.point(2)}-validation")
    code, out, _ = say("cascades", run)
    assert code == 0 and "not shown on test" in out and "Missing: no cascade is shown" in out
    assert "-" in out and "on test +" not in out


def test_what_is_missing_of_one_member_leaves_the_others_their_test(
    say: Say, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    write(run, (SMALL, Part("mini-4", 400.0, 0.8), LARGE))
    shutil.rmtree(run / "store" / "logits" / f"{SMALL.point(2)}-validation")
    code, out, _ = say("cascades", run)
    assert code == 0 and "shown on test (600 rows), 3 fresh draws" in out
    assert "are of test (validation where test is -); " in out
    assert "Missing: " in out and " cascades are not shown on test: " in out


def test_in_a_crossing_the_draw_that_chose_is_one_of_them(say: Say, tmp_path: Path) -> None:
    parts = [replace(p, draws=2) for p in (SMALL, LARGE)]
    write(tmp_path / "run", parts, procedures=[{"method": "finetune"}])
    _, out, _ = say("cascades", tmp_path / "run")
    assert "3 draws, the first of which chose; 95 %" in out and "fresh" not in out


def test_cross_fitted_rows_that_chose_are_said_to_be_left_out(say: Say, tmp_path: Path) -> None:
    task = own_task(str(own_csv(tmp_path / "mine.csv")))
    recipes = (Recipe(right=0.6), Recipe("embed_linear", "random-1", right=0.8, flops=1e3))
    write_judged(tmp_path / "run", task, recipes=recipes)
    (left,) = {c.left_out for c in cascades(read_run(tmp_path / "run"))}
    _, out, _ = say("cascades", tmp_path / "run")
    assert left > 0 and f" rows; the {left} that chose left out), " in out


def test_two_named_points(say: Say, run: Path) -> None:
    small, large = SMALL.point(), LARGE.point()
    found, missing = of_pair(read_run(run), small, large)
    more = len(found) - len(cascades(read_run(run)))
    code, out, err = say("cascades", run, "--first", small[:6], "--second", LARGE.config.id)
    assert code == 0 and not err and more > 0 and missing == ""
    for c in found:
        assert [x for x in out.splitlines() if x.strip().startswith(c.point_id[:8] + "  ")]
    beaten = [c for c in found if c.beaten_by]
    assert beaten and f"{len(beaten)} of {len(found)} are not worth having: " in out
    assert f"{beaten[0].point_id[:8]} by {beaten[0].beaten_by[:8]}" in out
    _, out, _ = say("cascades", run, "--first", small, "--second", large, "--json")
    assert [c["point_id"] for c in json.loads(out)["cascades"]] == [c.point_id for c in found]
    last = found[-1]
    _, out, _ = say("cascades", run, last.point_id, "--first", small, "--second", large)
    _check_commands(out, small, large, f"{last.threshold:g}")


def test_two_points_that_make_none_are_refused_in_one_line(say: Say, tmp_path: Path) -> None:
    run, middle = tmp_path / "run", Part("mini-4", 400.0, 0.8, draws=2)
    write(run, (SMALL, middle, LARGE))
    small, large = SMALL.point(), LARGE.point()
    refused(say("cascades", run, "--first", small), "--first and --second", "both")
    refused(say("cascades", run, "--second", small), "--first and --second", "both")

    def cascades_of(first: str, second: str) -> object:
        return say("cascades", run, "--first", first, "--second", second)

    refused(cascades_of(small, SMALL.config.id), "are one point", small)
    refused(cascades_of(large, small), "the cheaper one is asked first")
    refused(cascades_of(small, middle.point()), "not confirmed", "2 of 3 draws")
    refused(cascades_of(small, "zzzzzz"), "no trial or point of the search has that id")


def test_refusals_are_one_line(say: Say, run: Path, tmp_path: Path) -> None:
    refused(say("cascades", "nowhere"), "nowhere", "no such folder")
    write(tmp_path / "bare", [replace(p, draws=0) for p in (SMALL, LARGE)])
    refused(say("cascades", tmp_path / "bare"), "no confirmed points", "first: raysearch confirm")
    write(tmp_path / "few", [replace(p, draws=2) for p in (SMALL, LARGE)])
    refused(say("cascades", tmp_path / "few"), "2 of 3 draws", "first: raysearch confirm")
    write(tmp_path / "one", [SMALL])
    refused(say("cascades", tmp_path / "one"), "two cells")
    write_run(tmp_path / "numbers", records(40, seed=2, confirm=3, score="pearson"))
    refused(say("cascades", tmp_path / "numbers"), "'pearson'", "needs classes")
    shutil.rmtree(run / "store")
    result = say("cascades", run, "--json")
    refused(result, "have no interval")
    assert "first:" not in result[2], "draws have run: more of them bring no logits back"
