"""Which methods, models and label budgets take part in a study, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from raysearch.config.catalog import find_rung, ladder, method_spaces
from raysearch.config.ladder import ModelSize
from raysearch.config.space import NONE, MethodSpace, SearchSpace
from raysearch.config.study import GridCell, Study
from raysearch.data.task_data import TaskData
from raysearch.errors import InputError, unknown
from raysearch.methods import names as method_names
from raysearch.planning.cost_model import CostModel, size_of
from raysearch.planning.families import family_of, get
from raysearch.planning.model_fit import cannot_prompt, too_large
from raysearch.stages import find
from raysearch.storage.checkpoints import NotHere
from raysearch.trial.context import ExecutionContext, parse_knobs


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What takes part in a study."""

    space: SearchSpace
    excluded: Mapping[str, str]
    """Why a method, model or budget does not take part, one sentence each, by name."""


def eligible(
    study: Study,
    data: TaskData,
    place: ExecutionContext,
    cost_model: CostModel,
    texts: Callable[[int], int],
) -> Eligibility:
    """Return the joint space of a study: what the task, the folders and the machine allow.

    Args:
        study: the plan.
        data: the task's.
        place: where trials run.
        cost_model: predicts what trials cost there.
        texts: (labels) -> texts that are left without a label.

    Raises:
        InputError: a name does not exist, or nothing is left.
    """
    return _Rules(study, data, place, cost_model, texts).apply()


class _Rules:
    """The rules one after the other; `_excluded` collects their sentences."""

    def __init__(
        self,
        study: Study,
        data: TaskData,
        place: ExecutionContext,
        cost_model: CostModel,
        texts: Callable[[int], int],
    ) -> None:
        self.study, self.data, self.place, self.cost_model = study, data, place, cost_model
        self._texts = texts
        self._excluded: dict[str, str] = {}

    def apply(self) -> Eligibility:
        """Return what is left by all rules."""
        methods = self._methods()
        rungs = self._rungs()
        joined = {name: self._usable(name, rungs) for name in methods}
        spaces = method_spaces()
        upstream = {n: self._usable(n, rungs) for n in self._upstream(methods) if n in spaces}
        upstream = {n: models for n, models in upstream.items() if models}
        for name in list(methods):
            roles = methods[name].inputs.items()
            lacking = [r for r, names in roles if not {NONE, *upstream} & set(names)]
            if joined[name] and lacking:
                joined[name] = ()
                self._excluded[name] = f"no method that could train its {lacking[0]} takes part"
            if not joined[name]:
                families = ", ".join(find(name).families)
                reason = f"no model of its family ({families}) takes part"
                if self.study.methods is not None and name in self._excluded:
                    raise InputError(f"method '{name}': {self._excluded[name]}")
                if self.study.methods is not None or self._offered(name):
                    self._excluded.setdefault(name, reason)
                del joined[name], methods[name]
        if not methods:
            reasons = "; ".join(f"{k}: {v}" for k, v in self._excluded.items())
            raise InputError(f"study '{self.study.name}': no method is left to run ({reasons})")
        upstream_spaces = {n: spaces[n] for n in upstream}
        space = SearchSpace(methods, joined, self._labels(), upstream_spaces, upstream)
        return Eligibility(space, dict(self._excluded))

    def _upstream(self, methods: Iterable[str]) -> set[str]:
        """Return the methods and stages that may make inputs: the study's own ones come first."""
        named = {g.method for p in self.study.procedures for g in p.inputs.values()}
        if named:
            return named
        out: set[str] = set()
        left = list(methods)
        while left:
            for names in method_spaces()[left.pop()].inputs.values():
                wanted = set(names) - {NONE}
                new = (wanted & set(methods) or wanted) & set(method_spaces()) - out
                out |= new
                left += new
        return out

    def _offered(self, name: str) -> bool:
        """Return True if the ladder or the study has any model of the method's family."""
        ladder_name, named = self.data.task.ladder, self._named()
        known = [r for r in ladder().values() if ladder_name in r.ladders or r.name in named]
        known += [find_rung(n) for n in self.study.models or ()]
        return any(r.family in find(name).families for r in known)

    def _usable(self, name: str, rungs: Iterable[ModelSize]) -> tuple[str, ...]:
        """Return the models that a method can train here; if none, `_excluded` has the reason."""
        method = find(name)
        kin = [r for r in rungs if r.family in method.families]
        knobs = parse_knobs(method, method_spaces()[name].default_config)
        refused = {r.name: method.check_model(knobs, r) for r in kin}
        if kin and all(refused.values()):
            self._excluded[name] = next(iter(refused.values()))
        kin = [r for r in kin if not refused[r.name]]
        made = set(method_spaces()[name].inputs) & set(method.inputs_of(knobs, "texts"))
        if kin and not made and method.unlabelled(knobs) and self._texts(min(self._labels())) <= 0:
            self._excluded[name] = "there is no text without a label to transfer by"
            return ()
        limit = self.study.trial_minutes
        if method_spaces()[name].inputs and limit is not None and self.study.models is None:
            longest = {
                r.name: self.cost_model.first_seconds(name, r, max(self._labels())) for r in kin
            }
            fit = [r for r in kin if longest[r.name] <= 60 * limit]
            if kin and not fit:
                self._excluded[name] = self._too_long(min(longest.values()))
            kin = fit
        if not method.question(knobs):
            return tuple(r.name for r in kin)
        reasons = {r.name: cannot_prompt(r, self.data.task, self.place.folder(r)) for r in kin}
        if kin and all(reasons.values()):
            self._excluded[name] = next(str(reason) for reason in reasons.values())
        return tuple(n for n, reason in reasons.items() if reason is None)

    def _methods(self) -> dict[str, MethodSpace]:
        spaces = method_spaces()
        wanted = self.study.methods or tuple(n for n in spaces if n in method_names())
        if self.study.procedures:
            wanted = tuple(
                dict.fromkeys(p.method for p in self.study.procedures if p.method in wanted)
            )
        out = {}
        for name in wanted:
            if name not in spaces or name not in method_names():
                raise unknown("search_spaces", "method", name, set(spaces) & set(method_names()))
            if self.data.task.regression and not find(name).regression:
                self._excluded[name] = "predicts classes, the task asks for a number"
                continue
            out[name] = spaces[name]
        return out

    def _rungs(self) -> list[ModelSize]:
        """Return the models of the study that fit; by default only those that are present."""
        known = ladder()
        if self.study.models is not None:
            chosen = [find_rung(name) for name in self.study.models]
            for rung in chosen:
                reason = too_large(rung, self.place.device)
                if reason is not None:
                    raise InputError(f"model '{rung.name}': {reason}")
                self.place.folder(rung)
            cheap = [r for r in known.values() if family_of(r).baseline(r)]
            if any(family_of(r).gpu for r in chosen) and not (
                {r.family for r in chosen} & {r.family for r in cheap}
            ):
                chosen = cheap + chosen
            return sorted(chosen, key=size_of)
        out = []
        named = self._named()
        for rung in known.values():
            if self.data.task.ladder not in rung.ladders and rung.name not in named:
                continue
            reason = too_large(rung, self.place.device)
            if reason is not None:
                self._excluded[rung.name] = reason
                continue
            try:
                self.place.folder(rung)
            except InputError as e:
                self._excluded[rung.name] = e.why if isinstance(e, NotHere) else str(e)
                continue
            out.append(rung)
        wanted = {family for name in self._methods() for family in find(name).families}
        if any(get(name).gpu for name in wanted) and not any(family_of(r).gpu for r in out):
            reasons = list(dict.fromkeys(self._excluded[r] for r in self._excluded if r in known))
            raise InputError(
                f"task '{self.data.task.name}': no model of its ladder can be used "
                f"({'; '.join(reasons[:3])}); give --models-dir DIR"
            )
        return self._fitting(sorted(out, key=size_of))

    def _named(self) -> set[str]:
        """Return the models that the study's procedures and their inputs name."""
        names: set[str] = set()
        lines: list[GridCell] = list(self.study.procedures)
        while lines:
            line = lines.pop()
            names |= set(line.named)
            lines += line.inputs.values()
        return names

    def _fitting(self, rungs: list[ModelSize]) -> list[ModelSize]:
        """Leave out models whose dearest first trial would take longer than the study allows."""
        limit = self.study.trial_minutes
        if limit is None:
            return rungs
        kept = []
        for rung in rungs:
            # what takes inputs is cheap or dear by its texts: such methods are checked one by one
            plain = [n for n in self._methods() if not method_spaces()[n].inputs]
            worst = max(
                (self.cost_model.first_seconds(n, rung, max(self._labels())) for n in plain),
                default=0.0,
            )
            if worst > 60 * limit:
                self._excluded[rung.name] = self._too_long(worst)
            else:
                kept.append(rung)
        return kept

    def _too_long(self, seconds: float) -> str:
        return (
            f"one trial on {max(self._labels())} labels would take {seconds / 60:.0f} min here, "
            f"more than the study's {self.study.trial_minutes:g}"
        )

    def _labels(self) -> tuple[int, ...]:
        """Return the label budgets that the data can fill."""
        have = len(self.data.splits["train"])
        fit = tuple(n for n in self.study.labels if n <= have)
        for n in self.study.labels:
            if n > have:
                self._excluded[f"{n} labels"] = f"the task has {have} training rows"
        return fit or (have,)
