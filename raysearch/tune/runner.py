"""Run a study: search on Ray Tune under a supervisor, then the winners' scores on test."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig

from raysearch.cluster.node_hours import watched
from raysearch.cluster.nodes import kinds, machines
from raysearch.cluster.preflight import StorageProbe, preflight
from raysearch.cluster.quota import limit_share
from raysearch.cluster.resources import ResourcePlan
from raysearch.cluster.resources import share as fit_share
from raysearch.config.study import Study
from raysearch.config.trial import TrialConfig
from raysearch.errors import RaysearchError
from raysearch.run.folder import RunFolder, locked
from raysearch.search.backend import Planner, TrialBackend, trial_backend
from raysearch.search.budget import Budget
from raysearch.search.controller import StudyController
from raysearch.search.event import Event
from raysearch.search.replicates import CONFIRM
from raysearch.storage.mirror import LostOwnership, Mirror
from raysearch.storage.remote import StorageLost
from raysearch.storage.trial_checkpoints import TrialCheckpoints
from raysearch.tune.callbacks import RayCallback, StudyStopper, blame
from raysearch.tune.scoring import score_winners
from raysearch.tune.searcher import StudySearcher
from raysearch.tune.session import environment, ray_session, signals
from raysearch.tune.trainable import bind_trainable, sentence

"""Source of a suggested trial that others wait for: it gets the best GPU."""
FRESH_FITS = 3
"""Break-downs in a row without one new record after which the run gives up."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a run of a study; counts and costs are the whole study's."""

    by_status: Mapping[str, int]
    fresh: int
    """Trials recorded by this run."""
    scored: int
    """Points scored on test by this run."""
    flops: float
    """Spent on trials [FLOP]."""
    seconds: float
    """Spent inside trials, added up [s]."""
    labels: int
    """Labels a person must have."""
    stopped_by: str
    """One sentence."""
    interrupted: bool
    """Stopped from outside or by a full disk; the same call goes on from here."""


def run_study(
    study: Study,
    world: Planner,
    out: Path,
    *,
    trials: int | None = None,
    on_event: Callable[[Event], None] | None = None,
    address: str | None = None,
    cpus: int | None = None,
    kit: TrialBackend | None = None,
    phase: str = "search",
    score_test: bool = True,
    save_every: float = 30.0,
    draws: Sequence[TrialConfig] | None = None,
    budget: Budget | None = None,
    storage: str | None = None,
    gpus_per_trial: float | None = None,
) -> Outcome:
    """Run a study in `out`, or continue the one there.

    Args:
        study: the plan; `concurrency` None is fitted to the cluster.
        world: configurations, prices, place; its store is pruned to the winners' weights.
        out: the study's folder; on a cluster, on storage every node sees.
        trials: trials the study is to have in all, instead of `study.trials`.
        on_event: called with every event, in this thread.
        address: of a running Ray cluster; None: the one at hand, or one started for the run.
        cpus: how many a cluster started here may use; None: all.
        kit: what workers run; None: true trials.
        phase: phase of the study the records belong to.
        score_test: score the winners on test after the search.
        save_every: seconds of a trial's work between two checkpoints [s].
        draws: run these instead of searching: the confirming phase.
        budget: limits of this phase alone, instead of the study's.
        storage: the run's place on storage that every node sees; None: `out` is such a place, or
            there is one node.
        gpus_per_trial: GPUs of each trial that gains from one; None: what it is predicted to need.

    Raises:
        InputError: the folder is in use, a node does not see the storage, or the study cannot be
            run as it stands.
        RecordError: the folder cannot be read or written before the first trial.
    """
    folder = RunFolder(out.resolve())
    if draws is not None:
        phase, score_test, trials = CONFIRM, False, len(draws)
    budget = replace(budget or Budget.of(study), trials=study.trials if trials is None else trials)
    with (
        locked(folder),
        ray_session(study.concurrency, address, cpus),
        preflight(storage, folder.root) as mark,
    ):
        mirror = None if storage is None else Mirror(storage, folder)
        if mirror is not None:
            mirror.meet(adopt=False)
            mirror.claim()
        if world.place.device == "cpu":  # this torch can use none of Ray's GPUs
            gpus_per_trial = 0
        share = limit_share(
            fit_share(machines(), world.demands(), study.concurrency, gpus_per_trial)
        )
        place = replace(world.ship(), threads=share.threads, concurrency=share.concurrency)
        desk = StudyController(
            study,
            world,
            folder,
            budget,
            kit or trial_backend(),
            place=place,
            phase=phase,
            on_event=on_event,
            draws=draws,
            saves=TrialCheckpoints(folder.checkpoints, storage),
            mirror=mirror,
        )
        try:
            with environment(share.concurrency), watched(folder.root):
                outcome = _Run(desk, share, mark, score_test, save_every).go()
                if storage is not None and desk.fault is None:
                    world.fetch()
                return outcome
        finally:
            desk.close()
            if mirror is not None:
                try:
                    mirror.push()
                except (StorageLost, LostOwnership) as e:  # everything is in the folder
                    desk.log(f"records not mirrored: {e}")


class _Run:
    """One run: the supervisor around Tune."""

    def __init__(
        self,
        desk: StudyController,
        share: ResourcePlan,
        mark: StorageProbe,
        score_test: bool,
        save_every: float,
    ) -> None:
        self._desk, self._share, self._mark = desk, share, mark
        self._score_test, self._save_every = score_test, save_every
        self._interrupted = False

    def go(self) -> Outcome:
        desk = self._desk
        known = desk.resume()
        desk.emit("begin", f"goes on from {known} records" if known else "begins")
        scored = 0
        with signals(self._interrupt):
            try:
                self._search()
                if self._score_test and not self._over:
                    scored = score_winners(desk, self._share, lambda: self._interrupted)
            except KeyboardInterrupt:
                self._interrupt()
        if desk.fault is not None:
            desk.stopped_by = f"{desk.fault}; nothing is half-written, run it again to go on"
        elif self._interrupted:
            desk.stopped_by = "interrupted; unfinished trials keep their checkpoints"
        desk.emit("end", desk.stopped_by)
        return Outcome(
            by_status=dict(Counter(r.status for r in desk.phase_records)),
            fresh=desk.fresh,
            scored=scored,
            flops=desk.spent.flops,
            seconds=desk.spent.train_seconds,
            labels=desk.spent.labels,
            stopped_by=desk.stopped_by,
            interrupted=self._over,
        )

    @property
    def _over(self) -> bool:
        return self._interrupted or self._desk.fault is not None

    def _interrupt(self) -> None:
        self._interrupted = True
        self._desk.stop_now = True

    def _search(self) -> None:
        """Fit, and fit again from the records when Tune breaks down, until the search is over.

        NOTE: an OOM kill is neither a RayActorError nor a RayTaskError to Ray 2.60, so Tune aborts
        the whole experiment with a RuntimeError, whatever max_failures is.
        """
        barren = 0
        while True:
            before = self._desk.fresh
            try:
                self._fit()
                return
            except Exception as e:
                if self._over:
                    return
                self._desk.log(f"Tune broke down: {type(e).__name__}: {e}")
                reason, guilty = blame(e, self._desk.actors)
                self._desk.break_down(guilty, reason)
                self._desk.emit("note", f"goes on after a break-down ({reason})")
                barren = 0 if self._desk.fresh > before else barren + 1
                if barren >= FRESH_FITS or not ray.is_initialized():
                    raise RaysearchError(
                        f"Ray broke down {barren} times in a row ({sentence(e)}); "
                        f"run it again to go on, details in {self._desk.folder.log}"
                    ) from e

    def _fit(self) -> None:
        """Run one `Tuner.fit`, always a fresh one; its files on disk are never read again."""
        desk, share = self._desk, self._share
        storage = desk.folder.root / "ray"
        tuner = tune.Tuner(
            bind_trainable(
                desk.kit, desk.place, desk.phase, desk.saves, self._mark, self._save_every
            ),
            tune_config=TuneConfig(
                search_alg=StudySearcher(self._draw, lambda: desk.waits),
                num_samples=-1,
                max_concurrent_trials=share.concurrency,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=RunConfig(
                name="tune",
                storage_path=str(storage),
                callbacks=[RayCallback(desk)],
                stop=StudyStopper(desk),
                failure_config=FailureConfig(max_failures=1),
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)

    def _draw(self, trial_id: str) -> dict[str, Any] | None:
        suggestion = self._desk.draw()
        if suggestion is None:
            return None
        value = {"config": suggestion.config.to_json(), "hyper": dict(suggestion.proposal.hyper)}
        best = self._share.best if suggestion.is_input else ""
        best = best if best and best in kinds() else ""
        hold = self._share.of(suggestion.config, kind=best)
        return {
            "id": suggestion.config.id,
            "trial": json.dumps(value),  # one string: Tune traverses nested dictionaries
            "holds": json.dumps(asdict(hold)),
        }


def _trial_name(trial: Any) -> str:
    return str(trial.config["id"])
