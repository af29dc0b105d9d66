"""The pool of hard cases, from which the checks draw."""

import json

import pytest
from judge import conversation, pool
from judge.members import Members


@pytest.mark.parametrize("draw", [pool.texts, pool.names], ids=["texts", "names"])
def test_seed(draw: object) -> None:
    """The same seed draws the same members for a check, and every run has every class."""
    drawn = []
    for seed in (1, 1, 2):
        conversation.begin("test_values", seed)
        drawn.append(draw())  # type: ignore[operator]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0].keys() == drawn[2].keys() == (pool.TEXTS if draw is pool.texts else pool.NAMES).keys()


def test_classes() -> None:
    """No value is in two classes. A name is valid for Make, and a room has no slash, which would split the path."""
    for classes in (pool.TEXTS, pool.NAMES, pool.ROOMS):
        members = [member for some in classes.values() for member in some]
        assert len(members) == len(set(members))
    assert all(1 <= len(name) <= pool.NAME_LENGTH for some in pool.NAMES.values() for name in some)
    assert not any("/" in room for some in pool.ROOMS.values() for room in some)


def test_neighbors() -> None:
    """A name's neighbors are other names. Neighbors of unique rooms equal no other room, and none of its neighbors."""
    conversation.begin("test_rooms", 1)
    rooms = [pool.unique("lobby"), *(room for _ in range(3) for room in pool.rooms().values())]
    others = {Members.room(base) for base in ("lobby", "kitchen") for _ in range(100)}
    groups = [{room, *pool.neighbors(room)} for room in rooms]
    for room, group in zip(rooms, groups, strict=True):
        assert len(group) > 4, room
    assert len(set().union(*groups)) == sum(map(len, groups))
    assert others.isdisjoint(set().union(*groups))
    assert all(pool.is_unique(room) for group in groups for room in group)


def test_spellings() -> None:
    """The spellings of an object differ, and each is an object with at least the same values."""
    message = {"type": "echo", "text": "Straße"}
    spelled = pool.spellings(message)
    assert len(set(spelled.values())) == len(spelled)
    for text in spelled.values():
        assert message.items() <= json.loads(text).items(), text
