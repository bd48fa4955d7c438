"""A grid study's crossing: every procedure with every model and label budget, as proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass

from raysearch.config.catalog import ladder, method_spaces
from raysearch.config.space import Proposal, SearchSpace
from raysearch.config.study import LARGEST, Procedure
from raysearch.config.trial import Scalar, canonical
from raysearch.errors import InputError, unknown
from raysearch.methods import get as find_method


@dataclass(frozen=True, slots=True)
class Crossing:
    """What a grid study crosses."""

    space: SearchSpace
    first_teacher: Callable[[str, int], Proposal | None]
    """(method, labels) -> who teaches where a procedure names no teacher."""
    refuses: Callable[[str, str, Mapping[str, Scalar]], str]
    """(method, model, knobs) -> why the one cannot train the other with these; empty where it can.
    """
    left_out: MutableMapping[str, str]
    """Takes why a procedure does not take part, by its name."""

    def proposals(self, procedures: tuple[Procedure, ...]) -> list[Proposal]:
        """Each teacher before its students, few labels before many, cheap models before dear.

        Students are smaller than their teacher where any model is.

        Raises:
            InputError: a procedure names a method or model that is not there or cannot be its own,
                or nothing is left to run.
        """
        for line in procedures:
            _known(line)
        without: dict[str, str] = {}
        found = (
            p
            for labels in self.space.labels
            for line in procedures
            for p in self._cells(line, labels, without)
        )
        made = list({canonical(p.to_json()): p for p in found}.values())
        there = {method for p in made for method in _methods(p)}
        for name, reason in without.items():
            if name not in there:  # by another of its lines the method takes part
                self.left_out.setdefault(name, reason)
        if procedures and not made:
            reasons = "; ".join(f"{k}: {v}" for k, v in self.left_out.items())
            raise InputError(f"procedures: nothing is left to run ({reasons})")
        return made

    def _cells(
        self, line: Procedure, labels: int, without: MutableMapping[str, str]
    ) -> Iterator[Proposal]:
        """A procedure's proposals at one label budget, its teacher first.

        `without` takes why a line has no model, by its method.
        """
        if line.method not in self.space.methods:
            return  # `left_out` says why
        above = line.teacher
        if above is not None and above.method not in self.space.teachers:
            name = f"{line.method} from {above.method}"
            self.left_out.setdefault(name, "its teacher's method takes no part here")
            return
        method = find_method(line.method)
        if not method.labelled and labels != self.space.labels[0]:
            return  # run once: no budget is its own
        teacher = self._teacher(above, labels)
        if teacher is None and method.teacher:
            teacher = self.first_teacher(line.method, labels)
        names = self.space.rungs[line.method]
        if teacher is not None:
            sizes = list(self.space.teacher_rungs[teacher.method])
            smaller = sizes[: sizes.index(teacher.rung)] if teacher.rung in sizes else []
            names = tuple(n for n in names if n in smaller) or names
            yield teacher
        for name in self._named(line, names, without):
            yield _proposal(line, labels, name, teacher)

    def _named(
        self, line: Procedure, names: tuple[str, ...], without: MutableMapping[str, str]
    ) -> tuple[str, ...]:
        """The models that a procedure asks for and can train with its knobs.

        `without` says why where there is none.

        Raises:
            InputError: none of the models that are there can be trained with these knobs.
        """
        asked = tuple(n for n in names if n in line.named) if line.named else names
        if line.named and not asked:
            models = " or ".join(f"'{n}'" for n in line.named)
            without.setdefault(line.method, f"no model {models} that it can train takes part")
            return ()
        refused = {n: self.refuses(line.method, n, _hyper(line)) for n in asked}
        if asked and all(refused.values()):
            reason = refused[asked[-1]]
            raise InputError(f"procedures: '{line.method}': model '{asked[-1]}': {reason}")
        able = tuple(n for n in asked if not refused[n])
        return able[-1:] if line.model == LARGEST else able

    def _teacher(self, line: Procedure | None, labels: int) -> Proposal | None:
        """A named teacher, with teachers of its own, on its model or the largest."""
        if line is None:
            return None
        sizes = self.space.teacher_rungs.get(line.method)
        if not sizes:
            raise InputError(f"procedures: no model is left for '{line.method}'")
        above = self._teacher(line.teacher, labels)
        (name,) = line.named or sizes[-1:]
        return _proposal(line, labels, name, above)


def _methods(proposal: Proposal) -> Iterator[str]:
    """Its own and its teachers'."""
    yield proposal.method
    if proposal.teacher is not None:
        yield from _methods(proposal.teacher)


def _known(line: Procedure) -> None:
    if line.method not in method_spaces():
        raise unknown("procedures", "method", line.method, method_spaces())
    for name in line.named:
        if name not in ladder():
            raise unknown("procedures", "model", name, {LARGEST, *ladder()})
        family, able = ladder()[name].family, find_method(line.method).families
        if family not in able:
            raise InputError(
                f"procedures: '{line.method}': cannot train '{name}', a model of family "
                f"{family}; it trains {' and '.join(able)}"
            )
    if line.teacher is not None:
        _known(line.teacher)


def _proposal(line: Procedure, labels: int, model: str, teacher: Proposal | None) -> Proposal:
    return Proposal(line.method, model, labels, _hyper(line), teacher)


def _hyper(line: Procedure) -> dict[str, Scalar]:
    """A procedure's knobs over the method's first."""
    return {**method_spaces()[line.method].first, **line.hyper}
