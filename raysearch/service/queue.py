"""Order in which studies start: fair between owners, within their caps and the cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Waiting:
    """A study that is ready to start."""

    id: str
    owner: str
    created: float
    most: int | None = None
    """Trials at once at most; None: as many as there is room for."""
    least: int = 1
    """Trials at once that it cannot do with fewer of."""
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Running:
    """A study at work, and what it holds."""

    id: str
    owner: str
    trials: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """What there is in all."""

    cpus: int
    """Trials at once on the whole cluster: one CPU each."""
    gpus: int = 0
    owner_trials: int | None = None
    """Trials at once of one owner; None: no limit of their own."""


@dataclass(frozen=True, slots=True)
class Start:
    """The next study, and its number of trials at once."""

    id: str
    trials: int


def line(
    waiting: Sequence[Waiting], running: Sequence[Running], turns: Mapping[str, float]
) -> list[Waiting]:
    """Return the studies in the order of their turns.

    Owners take turns: who has fewer studies at work comes first, then whose last start is longer
    ago, then whose study is older. Within an owner the oldest is first.

    Args:
        waiting: studies that are ready to start.
        running: studies at work.
        turns: when each owner's last study started; an owner without one comes first.

    >>> a, b, c = Waiting("a1", "a", 1), Waiting("a2", "a", 2), Waiting("b1", "b", 3)
    >>> [w.id for w in line([a, b, c], [], {})]
    ['a1', 'b1', 'a2']
    """
    queues: dict[str, list[Waiting]] = {}
    for w in sorted(waiting, key=lambda w: (w.created, w.id)):
        queues.setdefault(w.owner, []).append(w)
    work = {owner: sum(r.owner == owner for r in running) for owner in queues}
    last = {owner: (turns.get(owner, float("-inf")), 0) for owner in queues}
    out: list[Waiting] = []
    while queues:
        owner = min(queues, key=lambda o: (work[o], last[o], queues[o][0].created, queues[o][0].id))
        out.append(queues[owner].pop(0))
        work[owner] += 1
        last[owner] = (float("inf"), len(out))
        if not queues[owner]:
            del queues[owner]
    return out


def following(
    waiting: Sequence[Waiting],
    running: Sequence[Running],
    room: Room,
    turns: Mapping[str, float],
) -> Start | None:
    """Return the study that starts now; None when none can.

    The first of the line that fits. A study that waits for GPUs keeps those behind it from taking
    GPUs, not from CPUs: a large request is not overtaken for ever, and no CPU stands idle for it.
    One that waits for several CPUs at once has them kept for it as they come free: small studies
    would else take each of them first. What the cluster or the owner's cap never gives holds nobody
    up.
    Its trials at once are what it requests, at most the owner's and the cluster's room; where
    several owners wait, at most an equal part of what is free.
    """
    held_back, kept = False, 0
    owners = len({w.owner for w in waiting})
    for w in line(waiting, running, turns):
        if w.gpus and held_back:
            continue
        trials = _trials(w, running, replace(room, cpus=room.cpus - kept), owners)
        fits = not w.gpus or w.gpus <= _free_gpus(running, room)
        if trials >= w.least and fits:
            return Start(w.id, trials)
        held_back = held_back or (not fits and w.gpus <= room.gpus)
        if fits and w.least <= room.cpus and _own(w, running, room) >= w.least:
            kept += w.least
    return None


def reasons(
    waiting: Sequence[Waiting],
    running: Sequence[Running],
    room: Room,
    turns: Mapping[str, float],
) -> dict[str, str]:
    """Return why each study still waits, for a person.

    >>> waits = [Waiting("x", "a", 1), Waiting("y", "b", 2, gpus=1)]
    >>> reasons(waits, [Running("z", "c", 2)], Room(2), {})["y"]
    'queued: needs 1 GPU of 0, 1 study ahead'
    """
    out = {}
    for ahead, w in enumerate(line(waiting, running, turns)):
        behind = f"{ahead} {'study' if ahead == 1 else 'studies'} ahead" if ahead else "next"
        out[w.id] = f"queued: {_need(w, running, room)}{behind}"
    return out


def _need(w: Waiting, running: Sequence[Running], room: Room) -> str:
    if w.gpus > room.gpus:
        return f"needs {w.gpus} GPU{'s' * (w.gpus > 1)} of {room.gpus}, "
    if w.gpus and w.gpus > _free_gpus(running, room):
        return f"needs {w.gpus} GPU{'s' * (w.gpus > 1)}, "
    busy = sum(r.trials for r in running if r.owner == w.owner)
    if room.owner_trials is not None and room.owner_trials - busy < w.least:
        return f"{w.owner} has {busy} of {room.owner_trials} trials at work, "
    if _free_cpus(running, room) < w.least:
        return f"needs {w.least} CPU{'s' * (w.least > 1)}, "
    return ""


def _trials(w: Waiting, running: Sequence[Running], room: Room, owners: int) -> int:
    count = _free_cpus(running, room)
    if count > 0:
        count = max(w.least, count // owners) if count >= w.least else count
    if w.most is not None:
        count = min(count, w.most)
    return max(0, min(count, _own(w, running, room)))


def _own(w: Waiting, running: Sequence[Running], room: Room) -> int:
    """Return how many more trials at once its owner may have."""
    if room.owner_trials is None:
        return room.cpus
    return room.owner_trials - sum(r.trials for r in running if r.owner == w.owner)


def _free_cpus(running: Sequence[Running], room: Room) -> int:
    return room.cpus - sum(r.trials for r in running)


def _free_gpus(running: Sequence[Running], room: Room) -> int:
    return room.gpus - sum(r.gpus for r in running)
