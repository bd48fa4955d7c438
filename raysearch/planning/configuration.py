"""Turn proposals into whole configurations: budgets, inputs, digests of data and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from raysearch.config.catalog import find_rung, method_spaces
from raysearch.config.space import NONE, Proposal, SearchSpace
from raysearch.config.trial import ArtifactConfig, DataBudget, TrialConfig
from raysearch.data.corpora import Corpus
from raysearch.data.task_data import TaskData
from raysearch.errors import Infeasible, InputError
from raysearch.planning.families import family_of
from raysearch.stages import find
from raysearch.storage.checkpoints import weights_digest
from raysearch.training.protocol import Method
from raysearch.trial.context import ExecutionContext, parse_knobs, prompt_digest, prompt_of


@dataclass(frozen=True, slots=True)
class Configurator:
    """What configurations of one study have in common."""

    data: TaskData
    place: ExecutionContext
    precision: str
    corpus: Corpus | None
    """The corpus for transfer; None where the task's own texts serve."""
    space: Callable[[], SearchSpace]
    """The study's joint space; looked at only for what takes inputs."""
    texts: Callable[[int], int]
    """(labels) -> texts that are left without a label."""

    def configure(
        self, proposal: Proposal, *, data_seed: int = 0, init_seed: int = 0
    ) -> TrialConfig:
        """Return the whole configuration of a proposal.

        Raises:
            Infeasible: the data or the model cannot fill it.
        """
        method = find(proposal.method)
        rung = find_rung(proposal.rung)
        if rung.family not in method.families:
            raise Infeasible(f"method '{method.name}' cannot train a model of family {rung.family}")
        plain = {f: v for f, v in asdict(method.knobs()).items()}
        try:
            knobs = parse_knobs(method, proposal.hyper)
        except TypeError as e:
            raise InputError(f"search_spaces/{method.name}.yaml: {e}") from e
        refused = method.check_model(knobs, rung)
        if refused:
            raise Infeasible(f"model '{rung.name}': {refused}")
        if method.question(knobs) and getattr(knobs, "start", "checkpoint") == "scratch":
            raise Infeasible("start: scratch leaves no masked-LM head to answer with: head cloze")
        given = self._given(method, proposal, knobs)
        made = any(role in given for role in method.inputs_of(knobs, "texts"))
        wanted = method.unlabelled(knobs)
        available = wanted if made else self.texts(proposal.labels)
        if wanted and available <= 0:
            raise Infeasible(
                f"{self.data.task.name}: with {proposal.labels:,} labels no text without a label "
                "is left to transfer by"
            )
        knobs = method.resolve_knobs(knobs, self.data.task, available)
        texts = method.unlabelled(knobs)
        budget = self._budget(method, proposal.labels, texts, data_seed, made)
        calibration = method.calibration(knobs, budget.train)
        if 0 < calibration < self.data.task.classes:
            raise Infeasible(
                f"calibration: {calibration} of {budget.train:,} labelled rows are held back, for "
                f"{self.data.task.classes} classes"
            )
        folder = self.place.folder(rung)
        return TrialConfig(
            task=self.data.task.name,
            splits=self.data.digest,
            method=method.name,
            rung=rung.name,
            data=budget,
            weights="" if folder is None else weights_digest(folder),
            hyper={k: v for k, v in asdict(knobs).items() if v != plain[k]},
            init_seed=init_seed,
            precision=self.precision if family_of(rung).gpu else "fp32",
            horizon=method.horizon(knobs, budget.train + budget.unlabelled),
            behaviour=method.behaviour,
            inputs=self._inputs(method, given, knobs, data_seed, init_seed),
        )

    def _budget(self, method: Method, labels: int, texts: int, seed: int, made: bool) -> DataBudget:
        """Return the rows of a trial; texts from elsewhere take none of the task's own."""
        own = 0 if made or self.corpus is not None else texts
        if not method.labelled:
            return replace(self.data.budget(0, 0, unlabelled=own), unlabelled=texts)
        budget = self.data.budget(labels, unlabelled=own, seed=seed)
        return replace(budget, unlabelled=texts)

    def _inputs(
        self,
        method: Method,
        given: Mapping[str, Proposal],
        knobs: Any,
        data_seed: int,
        init_seed: int,
    ) -> dict[str, TrialConfig | ArtifactConfig]:
        """Return what the method takes from other trials, a corpus and the task, by role."""
        out: dict[str, TrialConfig | ArtifactConfig] = {}
        for declared in method.inputs:
            if not declared.wanted(knobs):
                continue
            role = declared.role
            if role in given:
                out[role] = self.configure(given[role], data_seed=data_seed, init_seed=init_seed)
            elif declared.gives == "prompt":
                if prompt_of(self.data.task) is None:
                    raise Infeasible(
                        f"method '{method.name}': the task has no template and label words"
                    )
                out[role] = prompt_digest(self.data.task, getattr(knobs, "template", 0))
            elif declared.gives == "texts":
                if method.unlabelled(knobs) and self.corpus is not None:
                    out[role] = ArtifactConfig("corpus", self.corpus.digest)  # whatever its name
            elif not declared.optional:
                raise Infeasible(f"method '{method.name}': no method can train its {role}")
        return out

    def _given(self, method: Method, proposal: Proposal, knobs: Any) -> dict[str, Proposal]:
        """Return what other trials make, by role: as proposed, else the usual candidate."""
        usual = self.first_inputs(method.name, proposal.labels)
        out = {}
        for declared in method.inputs:
            role = declared.role
            proposed = proposal.inputs.get(role) or (None if declared.optional else usual.get(role))
            if proposed is not None and declared.wanted(knobs):
                out[role] = proposed
        return out

    def first_inputs(self, method: str, labels: int) -> dict[str, Proposal]:
        """Return the inputs that are taken where none are named, by role.

        Each is the usual candidate with first knobs on the largest model; a role whose usual
        candidate is `none` is left out.
        """
        out = {}
        for role, names in method_spaces()[method].inputs.items():
            space = self.space()
            known = next((n for n in names if n == NONE or n in space.upstream), NONE)
            if known != NONE:
                first = dict(space.upstream[known].default_config)
                out[role] = Proposal(known, space.upstream_rungs[known][-1], labels, first)
        return out
