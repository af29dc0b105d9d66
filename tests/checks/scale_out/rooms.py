"""Step 10: rooms, names and texts that are hard cases, for the checks of TODOs 1 and 3."""

import asyncio
import contextlib
import html
import itertools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from judge import pool
from judge.cluster import Cluster, MemberLog, at, say, shared_cluster
from judge.conversation import begin, current
from judge.members import message
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import together

from .diagnosis import colliding_rooms, explained, keys_in, shared_key
from .every_process import Causes, compare, receives

CLASH = (
    "Your names for keys are ambiguous. Let all keys of a room have the same beginning and a different end, with the "
    "room between them in braces: chat:{ROOM}:last and chat:{ROOM}:messages."
)
CHANGED = (
    "Your code changes or splits the name of this room on its way: to a key, to a channel, or back from the channel. "
    "Use it unchanged, and take it back with removeprefix(CHANNEL)."
)
LSTRIP = (
    "Your code cuts the channel's name with lstrip() or strip(), which removes single characters, also those at the "
    "beginning of this room's name. Use removeprefix(CHANNEL)."
)
MERGED = (
    "Your code takes two names of rooms for the same, so it changes, cuts or normalizes the name in a key or in the "
    "channel. Use the name unchanged in each of them."
)
CHANGES: dict[str, Callable[[str], str]] = {
    "in lower case": str.lower,
    "without white space at their ends, as after strip()": str.strip,
    "in the normal form NFC": lambda room: unicodedata.normalize("NFC", room),
    "in the normal form NFKC": lambda room: unicodedata.normalize("NFKC", room),
    "after unquote()": unquote_plus,
    "after html.unescape()": html.unescape,
    "if characters other than letters and digits are replaced": lambda room: re.sub(r"\W+", "-", room),
    "if each character other than letters and digits is replaced": lambda room: re.sub(r"\W", "_", room),
    "in ASCII": lambda room: room.encode("ascii", "replace").decode(),
    "in their first 32 characters": lambda room: room[:32],
}
"""Changes that make one room's name equal to another one's, by a description of the result."""
HISTORY_CHANGED = (
    "The message was delivered, and isn't in the history of its room: publish() and read_history() use different names "
    "for the room's stream, or two rooms share one. Let both use redis_keys(room_id, ...) with the unchanged name."
)


@dataclass
class Place:
    """A room, and the messages that were sent to it."""

    room: str
    kind: str
    name: str
    """The member who sends them."""
    messages: list[dict[str, Any]] = field(default_factory=list)


def _places() -> list[Place]:
    rooms = pool.rooms()
    # Each neighbor of this room is what one change makes of it: lower case, NFC, unquote, strip ...
    mixed = pool.unique(" Cafe\u0301 \ufb01+%41<i>&amp;l*b?")
    pattern = pool.unique("l[ao]b")
    rooms |= {"all kinds": mixed, "a channel": pool.unique("room:chat:room:a"), "a set of letters": pattern}
    near = {f"a neighbor, {each!r}": each for each in pool.neighbors(mixed)}
    near |= {
        "a neighbor of a pattern": rooms["a pattern"].replace("*", "bby").replace("?", "a"),
        "a neighbor of a set of letters": pattern.replace("[ao]", "a"),
        "a neighbor of other alphabets": rooms["other alphabets"].encode("ascii", "replace").decode(),
        "a neighbor of a long one": f"{rooms['long']}2",
        "a neighbor of a channel": pool.unique("a"),
        "a room within another one": f"{{{rooms['plain']}}}",
    }
    names = itertools.cycle(pool.names().values())
    kinds = [(kind.partition(", ")[0], room) for kind, room in (rooms | near).items()]
    return [Place(room, kind, name) for (kind, room), name in zip(kinds, names, strict=False)]


async def filled_rooms(subject: Subject) -> list[Place]:
    """Send two messages to each of many rooms, and one more to each that could have a key of another one."""
    current().drew = True
    places: list[Place] = await subject.share("rooms", lambda: _fill(subject, current().seed))
    return places


async def _fill(subject: Subject, seed: int) -> list[Place]:
    begin("rooms", seed)
    cluster = await shared_cluster(subject)
    places = _places()
    async with contextlib.AsyncExitStack() as stack:
        logs = await together(*(stack.enter_async_context(at(cluster[0], p.room, p.name)) for p in places))
        for number in (1, 2):
            for place, log in zip(places, logs, strict=True):
                await _send(place, log, number)
            pairs = zip(places, logs, strict=True)
            done = await asyncio.gather(*(_arrived(cluster, *each, places) for each in pairs), return_exceptions=True)
            if failures := [each for each in done if each is not None]:
                first = failures[0]
                # Exactly the rooms that begin with one of the channel's characters get nothing.
                cut = [place.room.lstrip("chat:room:") != place.room for place in places]  # noqa: B005
                if isinstance(first, Failure) and cut == [each is not None for each in done]:
                    first.likely = LSTRIP
                raise first
        plain, own = places[0], logs[0]
        found = colliding_rooms(list(await keys_in(cluster)), plain.room)
        for other in found.keys() - {place.room for place in places}:
            key = found[other]
            after = f'messages in the room "{plain.room}", whose keys in Redis suggest the room "{other}"'
            try:
                async with at(cluster[0], other, "Ada") as log:
                    place = Place(other, "a key of another room", "Ada")
                    await _send(place, log, 1)
                    await _arrived(cluster, place, log, places)
                await _send(plain, own, 3)
                await _arrived(cluster, plain, own, places)
            except Failure as failure:
                failure.after, failure.certain = after, True
                failure.likely = f'The key "{key}" belongs to both rooms. {CLASH}'
                raise
        for place, log in zip(places, logs, strict=True):
            await log.settles(likely=MERGED)
            compare(log, place.messages, after=_after(place), causes=_causes(MERGED))
    return places


async def _send(place: Place, log: MemberLog, number: int) -> None:
    text = f"{number} in {place.room}"
    place.messages.append(message(number, place.name, text))
    await say(log, text)


def _after(place: Place) -> str:
    return f'a message of "{place.name}" in the room "{place.room}", which is {place.kind}; others in other rooms'


def _causes(likely: str) -> Causes:
    return Causes(missing=likely, gap=likely, twice=likely, order=likely, number=likely, wrong=likely)


async def _arrived(cluster: Cluster, place: Place, log: MemberLog, places: list[Place]) -> None:
    causes = Causes(missing=CHANGED, gap=MERGED, twice=MERGED, order=MERGED, number=MERGED, wrong=MERGED)
    try:
        await receives(log, place.messages, after=_after(place), causes=causes)
    except Failure as failure:
        foreign = [each["text"] for each in log.messages if each["text"] not in _texts(place)]
        if owner := next((each.room for each in places if foreign and foreign[0] in _texts(each)), None):
            failure.got += f', which was sent in the room "{owner}"'
            same = [what for what, change in CHANGES.items() if change(owner) == change(place.room)]
            failure.likely = MERGED + (f" The two are the same {same[0]}." if same else "")
            keys = list(await keys_in(cluster))
            changed = CHANGES[same[0]](owner) if same else owner
            key = next((each for each in keys if changed in each), "")
            if key and changed != owner and not any(owner in each for each in keys):
                failure.likely = (
                    f'The name of the key "{key}" in Redis has the room {same[0]}, so two rooms share it. Use the name '
                    "of the room unchanged in each key."
                )
        if failure.likely.startswith(MERGED) and (found := await shared_key(cluster)):
            failure.number, failure.likely = found
        raise


def _texts(place: Place) -> list[str]:
    return [each["text"] for each in place.messages]


class Rooms:
    @check(1, "keeps rooms apart, whatever their names are")
    @explained
    async def test_rooms(self, subject: Subject) -> None:
        await filled_rooms(subject)

    @check(3, "replays the history of each room, whatever its name is")
    @explained
    async def test_rooms_replayed(self, subject: Subject) -> None:
        places = await filled_rooms(subject)
        cluster = await shared_cluster(subject)
        await together(*(self._replays_room(cluster, place) for place in places))

    @staticmethod
    async def _replays_room(cluster: Cluster, place: Place) -> None:
        async with at(cluster[2], place.room, "Grace", likely=HISTORY_CHANGED, after=0) as log:
            after = f"{_after(place)}; then Grace joined it with after=0, at another process"
            await receives(log, place.messages, after=after, causes=_causes(HISTORY_CHANGED))
            await log.settles(likely=HISTORY_CHANGED)
            compare(log, place.messages, after=after, causes=_causes(HISTORY_CHANGED))
