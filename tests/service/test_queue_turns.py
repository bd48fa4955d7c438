"""Whose turn it is: fair, within caps, and nothing stands idle that somebody could use."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from raysearch.service.queue import Room, Running, Waiting, following, line, reasons

OWNERS = ("anna", "bert", "carl")


@st.composite
def waits(draw):
    n = draw(st.integers(0, 8))
    return [
        Waiting(
            f"w{i}",
            draw(st.sampled_from(OWNERS)),
            float(draw(st.integers(0, 5))),
            draw(st.none() | st.integers(1, 4)),
            gpus=draw(st.integers(0, 2)),
        )
        for i in range(n)
    ]


running_sets = st.lists(
    st.tuples(st.sampled_from(OWNERS), st.integers(1, 3), st.integers(0, 1)), max_size=4
).map(lambda found: [Running(f"r{i}", o, t, g) for i, (o, t, g) in enumerate(found)])
rooms = st.builds(Room, st.integers(0, 8), st.integers(0, 3), st.none() | st.integers(1, 4))
turn_maps = st.dictionaries(st.sampled_from(OWNERS), st.floats(0, 10))


@given(waits(), running_sets, rooms, turn_maps)
def test_nobody_gets_more_than_there_is(waiting, running, room, turns):
    start = following(waiting, running, room, turns)
    if start is None:
        return
    chosen = next(w for w in waiting if w.id == start.id)
    assert 1 <= start.trials <= (chosen.most or start.trials)
    assert start.trials + sum(r.trials for r in running) <= room.cpus
    assert chosen.gpus + sum(r.gpus for r in running) <= room.gpus or not chosen.gpus
    if room.owner_trials is not None:
        own = sum(r.trials for r in running if r.owner == chosen.owner)
        assert own + start.trials <= room.owner_trials


@given(waits(), running_sets, rooms, turn_maps)
def test_nothing_stands_idle_that_a_study_without_gpus_could_use(waiting, running, room, turns):
    if following(waiting, running, room, turns) is not None:
        return
    free = room.cpus - sum(r.trials for r in running)
    for w in waiting:
        own = sum(r.trials for r in running if r.owner == w.owner)
        capped = room.owner_trials is not None and own >= room.owner_trials
        assert free < 1 or capped or w.gpus > 0


@given(waits(), running_sets, rooms, turn_maps)
def test_everybody_who_waits_stands_in_line_once_and_hears_why(waiting, running, room, turns):
    found = line(waiting, running, turns)
    assert sorted(w.id for w in found) == sorted(w.id for w in waiting)
    why = reasons(waiting, running, room, turns)
    assert set(why) == {w.id for w in waiting}
    assert all(text.startswith("queued: ") for text in why.values())
    for owner in OWNERS:  # within an owner the oldest is first
        own = [(w.created, w.id) for w in found if w.owner == owner]
        assert own == sorted(own)


@given(st.lists(st.sampled_from(OWNERS), min_size=1, max_size=20))
def test_owners_take_turns_however_many_studies_one_of_them_has(owners):
    """One at a time: while all of them wait, no owner starts twice before another has once."""
    waiting = [Waiting(f"w{i:02}", o, float(i)) for i, o in enumerate(owners)]
    turns: dict[str, float] = {}
    starts: Counter[str] = Counter()
    clock = 0.0
    while waiting:
        start = following(waiting, [], Room(1), turns)
        assert start is not None
        chosen = next(w for w in waiting if w.id == start.id)
        left = {w.owner for w in waiting}
        assert starts[chosen.owner] <= min(starts[o] for o in left)
        clock += 1
        starts[chosen.owner] += 1
        turns[chosen.owner] = clock
        waiting = [w for w in waiting if w.id != start.id]


def test_a_large_request_for_gpus_is_not_overtaken_by_small_ones():
    at_work = [Running("r", "carl", 1, 1)]
    large, small = Waiting("large", "anna", 0, gpus=2), Waiting("small", "bert", 1, gpus=1)
    assert following([large, small], at_work, Room(8, 2), {}) is None
    free = replace(small, id="free", gpus=0)
    start = following([large, small, free], at_work, Room(8, 2), {})
    assert start is not None and start.id == "free"


@given(st.integers(2, 6), st.lists(st.integers(1, 3), max_size=6), st.data())
def test_a_study_that_needs_several_cpus_is_not_starved_by_small_ones(least, at_work, data):
    """Small studies keep coming and one of those at work ends at a time."""
    room = Room(6)
    running = [
        Running(f"r{i}", "bert", t) for i, t in enumerate(at_work) if sum(at_work[: i + 1]) <= 6
    ]
    large = Waiting("large", "anna", 0.0, least, least)
    turns: dict[str, float] = {"anna": 0.0}
    for step in range(1, 40):
        small = [Waiting(f"s{step}-{o}", o, float(step), 1) for o in ("bert", "carl")]
        while (start := following([large, *small], running, room, turns)) is not None:
            if start.id == "large":
                return
            owner = next(w.owner for w in small if w.id == start.id)
            small = [w for w in small if w.id != start.id]
            running.append(Running(start.id, owner, start.trials))
            turns[owner] = float(step)
        if running:
            running.pop(data.draw(st.integers(0, len(running) - 1)))
    raise AssertionError("it never started")


def test_what_can_never_start_holds_nobody_up():
    small = Waiting("small", "bert", 1, 1)
    for large, room in (
        (Waiting("large", "anna", 0, 9, 9), Room(8)),  # more than the cluster has
        (Waiting("large", "anna", 0, 4, 4), Room(8, owner_trials=3)),  # than its owner may
    ):
        start = following([large, small], [], room, {})
        assert start is not None and start.id == "small"
    never = Waiting("never", "anna", 0, gpus=4)
    start = following([never, replace(small, gpus=1)], [], Room(8, 2), {})
    assert start is not None and start.id == "small"


def test_why_a_study_waits():
    running = [Running("r", "anna", 2, 1)]
    waiting = [Waiting("a", "anna", 0), Waiting("b", "bert", 1, gpus=1), Waiting("c", "carl", 2)]
    why = reasons(waiting, running, Room(8, 1, owner_trials=2), {})
    assert why["a"] == "queued: anna has 2 of 2 trials at work, 2 studies ahead"
    assert why["b"] == "queued: needs 1 GPU, next"
    full = reasons(waiting[2:], running, Room(2, 1), {})
    assert full["c"] == "queued: needs 1 CPU, next"


def test_owners_who_wait_together_share_what_is_free():
    waiting = [Waiting("a", "anna", 0), Waiting("b", "bert", 1)]
    start = following(waiting, [], Room(5), {})
    assert start is not None and (start.id, start.trials) == ("a", 2)
    rest = following(waiting[1:], [Running("a", "anna", 2)], Room(5), {})
    assert rest is not None and (rest.id, rest.trials) == ("b", 3)
