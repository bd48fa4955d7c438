"""A grid study's crossing: every procedure with every model and label budget, as proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from raysearch.config.catalog import ladder, method_spaces
from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.study import LARGEST, GridCell
from raysearch.config.trial import Scalar, canonical
from raysearch.errors import InputError, unknown
from raysearch.planning.eligibility import Eligibility
from raysearch.stages import find
from raysearch.trial.context import parse_knobs


@dataclass(frozen=True, slots=True)
class GridDesign:
    """What a grid study runs."""

    proposals: tuple[Proposal, ...]
    """Each input before what takes it, few labels before many, cheap models before dear."""
    excluded: Mapping[str, str]
    """Why a procedure does not take part, by its name."""


FirstInputs = Callable[[str, int], Mapping[str, Proposal]]
"""(method, labels) -> what makes its inputs, by role, where a procedure names none."""
CheckModel = Callable[[str, str, Mapping[str, Scalar]], str]
"""(method, model, knobs) -> why the one cannot train the other with these; empty where it can."""


def grid(
    procedures: tuple[GridCell, ...],
    eligibility: Eligibility,
    first_inputs: FirstInputs,
    check_model: CheckModel,
) -> GridDesign:
    """Return every procedure with every model and label budget; nothing for a search.

    Students are smaller than their teacher where any model is.

    Raises:
        InputError: a procedure names a method or model that is not there or cannot be its own, or
            nothing is left to run.
    """
    for line in procedures:
        _known(line)
    crossing = _GridDesign(eligibility.space, first_inputs, check_model)
    proposals = (
        p
        for labels in eligibility.space.labels
        for line in procedures
        for p in crossing.cells(line, labels)
    )
    made = list({canonical(p.to_json()): p for p in proposals}.values())
    taking_part = {method for p in made for method in _methods(p)}
    excluded = dict(crossing.excluded)
    for name, reason in crossing.modelless.items():
        if name not in taking_part:  # by another of its lines the method takes part
            excluded.setdefault(name, reason)
    if procedures and not made:
        reasons = "; ".join(f"{k}: {v}" for k, v in {**excluded, **eligibility.excluded}.items())
        raise InputError(f"procedures: nothing is left to run ({reasons})")
    return GridDesign(tuple(made), excluded)


@dataclass(slots=True)
class _GridDesign:
    """The cells of a crossing, and what falls out of it."""

    space: SearchSpace
    first_inputs: FirstInputs
    check_model: CheckModel
    excluded: dict[str, str] = field(default_factory=dict)
    modelless: dict[str, str] = field(default_factory=dict)
    """Why a line has no model, by its method."""

    def cells(self, line: GridCell, labels: int) -> Iterator[Proposal]:
        """Yield a procedure's proposals at one label budget, its inputs first."""
        if line.method not in self.space.methods:
            return  # the reason is in the eligibility
        for role, above in line.inputs.items():
            if above.method not in self.space.upstream:
                name = f"{line.method} from {above.method}"
                self.excluded.setdefault(name, f"its {role}'s method takes no part here")
                return
        method = find(line.method)
        if not method.labelled and labels != self.space.labels[0]:
            return  # run once: no budget is its own
        inputs = self._inputs(line, labels)
        names = self.space.rungs[line.method]
        for role, given in inputs.items():
            if role in method.inputs_of(parse_knobs(method, _hyper(line)), "logits"):
                sizes = list(self.space.upstream_rungs[given.method])
                smaller = sizes[: sizes.index(given.rung)] if given.rung in sizes else []
                names = tuple(n for n in names if n in smaller) or names
            yield given
        for name in self._named(line, names):
            yield _proposal(line, labels, name, inputs)

    def _named(self, line: GridCell, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the models that a procedure names and can train with its knobs.

        Raises:
            InputError: none of the models that are there can be trained with these knobs.
        """
        wanted = tuple(n for n in names if n in line.named) if line.named else names
        if line.named and not wanted:
            models = " or ".join(f"'{n}'" for n in line.named)
            self.modelless.setdefault(
                line.method, f"no model {models} that it can train takes part"
            )
            return ()
        refused = {n: self.check_model(line.method, n, _hyper(line)) for n in wanted}
        if wanted and all(refused.values()):
            reason = refused[wanted[-1]]
            raise InputError(f"procedures: '{line.method}': model '{wanted[-1]}': {reason}")
        able = tuple(n for n in wanted if not refused[n])
        return able[-1:] if line.model == LARGEST else able

    def _inputs(self, line: GridCell, labels: int) -> dict[str, Proposal]:
        """Return what makes a procedure's inputs: those it names, else the usual ones."""
        usual = self.first_inputs(line.method, labels)
        named = {role: self._input(above, labels) for role, above in line.inputs.items()}
        return {**usual, **named}

    def _input(self, line: GridCell, labels: int) -> Proposal:
        """Return a named input, with inputs of its own, on its model or the largest."""
        sizes = self.space.upstream_rungs.get(line.method)
        if not sizes:
            raise InputError(f"procedures: no model is left for '{line.method}'")
        (name,) = line.named or sizes[-1:]
        below = {role: self._input(above, labels) for role, above in line.inputs.items()}
        return _proposal(line, labels, name, below)


def _methods(proposal: Proposal) -> Iterator[str]:
    """Yield its method and those of its inputs."""
    yield proposal.method
    for given in proposal.inputs.values():
        yield from _methods(given)


def _known(line: GridCell) -> None:
    if line.method not in method_spaces():
        raise unknown("procedures", "method", line.method, method_spaces())
    for name in line.named:
        if name not in ladder():
            raise unknown("procedures", "model", name, {LARGEST, *ladder()})
        family, able = ladder()[name].family, find(line.method).families
        if family not in able:
            raise InputError(
                f"procedures: '{line.method}': cannot train '{name}', a model of family "
                f"{family}; it trains {' and '.join(able)}"
            )
    roles = method_spaces()[line.method].inputs
    for role, above in line.inputs.items():
        if role not in roles:
            raise unknown(f"procedures: '{line.method}'", "input", role, roles)
        _known(above)


def _proposal(line: GridCell, labels: int, model: str, inputs: Mapping[str, Proposal]) -> Proposal:
    return Proposal(line.method, model, labels, _hyper(line), inputs)


def _hyper(line: GridCell) -> dict[str, Scalar]:
    """Return a procedure's knobs over the method's first."""
    return {**method_spaces()[line.method].default_config, **line.hyper}
