"""Checks for the messages and members that every process must have, for the checks of steps 10 and 11."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from judge.cluster import NO_REDIS, PRESENCE, Cluster, MemberLog, shortened
from judge.differences import difference
from judge.members import Members
from judge.messages import show
from judge.model import Failure
from judge.subject import again
from redis.asyncio import Redis

UNJUDGED = " (not judged: there is no redis-server here)" * NO_REDIS
"""The suffix for titles of checks that fakeredis can't serve: it lacks CLIENT LIST, users, and a file for a restart."""
EVERYWHERE = (
    "The message doesn't reach the members of this process. Publish each message to CHANNEL + room_id, and send what "
    "_listen() receives to the room in the channel's name, at every process, including the sender's."
)
IN_REDIS = (
    "Your read_history() doesn't return the stored messages of this room. Read the room's stream with XRANGE, which "
    "returns them in order, from the entry after `after` to the end, and the room's last id."
)
KEYS = (
    "Your code doesn't find the key that another process has stored, or takes another one for it. Look the pair of "
    "sender and key up in Redis, in the script that assigns the id, under a key of the room."
)
APART = (
    "Two rooms share a key in Redis. Put the room into the name of each key, as redis_keys(room_id, ...) does, and "
    "pass the keys as a list."
)


async def said(log: MemberLog, number: int, *, after: str, likely: str, seconds: float = 0) -> None:
    """Wait until the tab has received messages 1 to `number`, in order, without gaps or duplicates.

    Raises:
        Failure: a message is missing, duplicated or out of order.
    """
    expect = _all_of(number)
    await log.until(lambda: len(log.messages) >= number, expect=expect, likely=likely, after=after, seconds=seconds)
    are_complete(log, number, after=after, likely=likely)


def are_complete(log: MemberLog, number: int, *, after: str, likely: str) -> None:
    """Check that the tab has already received messages 1 to `number`, in order, without gaps or duplicates.

    Raises:
        Failure: a message is missing, duplicated or out of order.
    """
    if log.ids != list(range(1, number + 1)) or log.gaps:
        raise Failure(after=after, got=str(log), expect=_all_of(number), likely=likely)


def _all_of(number: int) -> str:
    return f"messages 1 to {number}, each once, in order" if number > 1 else "message 1, once"


async def are(cluster: Cluster, room: str, *names: str, after: str, likely: str = PRESENCE) -> None:
    """Wait until every server answers with these names, or with 404 if there are none.

    Raises:
        Failure: a server still has other names after its `patience`.
    """
    wanted = show({"names": sorted(names)}) if names else "status 404"
    for host in cluster.servers:
        path, got = Members.list_path(room), ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(host.patience):
                async for _ in again():
                    answer = await host.get(path, likely=likely)
                    got = show(answer.json()) if answer.status_code == 200 else f"status {answer.status_code}"
                    if got == wanted:
                        break
        if got != wanted:
            # If there's no answer, report the request itself as failed.
            sent, broken = (None, False) if got else (f"GET {path}", True)
            got = f"GET {path} still answers {got} after" if got else "no answer within"
            got += f" {host.patience:g} s"
            expect = f"at every process {wanted}"
            raise Failure(sent=sent, after=after, got=got, expect=expect, likely=likely, broken=broken)


@dataclass(frozen=True)
class Causes:
    """The likely causes of a failure, by what a member received instead of the expected messages."""

    missing: str
    """A message wasn't received, and no gap for it."""
    gap: str
    """A gap was received."""
    twice: str
    """A message was received twice, with the same id or another one."""
    order: str
    """A later message was received before an earlier one."""
    number: str
    """A message was received with another id."""
    wrong: str = ""
    """Another message was received; by default `missing`."""


async def receives(
    log: MemberLog, wanted: list[dict[str, Any]], *, after: str, causes: Causes, seconds: float = 0
) -> None:
    """Wait until the tab has received these messages, and check that they're the only ones, in this order.

    Raises:
        Failure: they aren't.
    """
    enough = lambda: len(log.messages) >= len(wanted) or bool(log.gaps)  # noqa: E731
    late = ""
    try:
        await log.until(enough, expect=listed(wanted), likely=causes.missing, after=after, seconds=seconds)
    except Failure as failure:
        if "no answer" not in failure.got:
            raise
        late = failure.got
    compare(log, wanted, after=after, causes=causes, late=late)


def compare(log: MemberLog, wanted: list[dict[str, Any]], *, after: str, causes: Causes, late: str = "") -> None:
    """Check that the tab has received exactly these messages, in this order.

    Raises:
        Failure: it hasn't; it names the first difference.
    """
    got, likely, expect = late or str(log), "", listed(wanted)
    texts = [(each["from"], each["text"]) for each in wanted]
    for place, each in enumerate(log.messages):
        own = (each["from"], each["text"])
        if place < len(wanted) and each == wanted[place]:
            continue
        before = [(one["from"], one["text"]) for one in log.messages[:place]]
        if before.count(own) >= max(texts.count(own), 1) or each["id"] in log.ids[:place]:
            likely, got = causes.twice, f"a second time {show(each)}"
        elif log.gaps:
            break
        elif each in wanted[place + 1 :]:
            likely = causes.order if wanted[place] in log.messages else causes.missing
            got = f"{show(each)} as message number {place + 1} of this member; all: {log}"
        elif own in texts:
            likely, got = causes.number, f"{show(each)}; all: {log}"
        else:
            likely = causes.wrong or causes.missing
            # Another member's message isn't a changed form of the expected one.
            if place < len(wanted) and (each["from"] == wanted[place]["from"] or each["text"] == wanted[place]["text"]):
                likely = difference(wanted[place], json.dumps(each, ensure_ascii=False)) or likely
            got = show(each)
        expect = show(wanted[place]) if place < len(wanted) else f"{listed(wanted)}, and nothing more"
        raise Failure(after=after, got=got, expect=expect, likely=likely, broken=bool(late) and not log.messages)
    if log.gaps or len(log.messages) < len(wanted):
        likely = causes.gap if log.gaps else causes.missing
        if max(log.gaps, default=0) > 10**9:
            likely = causes.number
        raise Failure(after=after, got=got, expect=expect, likely=likely, broken=not log.gaps)


def listed(wanted: list[dict[str, Any]]) -> str:
    """Describe expected messages for a failure."""
    if not wanted:
        return "no message"
    if len(wanted) == 1:
        return f"{show(wanted[0])}, once"
    ids = shortened([each["id"] for each in wanted])
    return f"{len(wanted)} messages, each once, in the order of their ids {ids}, and no gap"


async def has_no_time_limit(cluster: Cluster, room: str, *kinds: str) -> None:
    """Check that the keys of a room have no time limit.

    Args:
        cluster: the servers.
        room: the room, with a name that no other one contains.
        kinds: the types of the keys, such as `stream`.

    Raises:
        Failure: one has a time limit.
    """
    async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
        found = [(key, await redis.type(key), await redis.ttl(key)) async for key in redis.scan_iter(count=1000)]
    for key, kind, limit in found:
        if room in key and kind in kinds and limit >= 0:
            likely = "Your code sets a time limit for it, such as EXPIRE, EX or PX. Remove the time limit."
            got = f'the {kind} "{key}" in Redis, which Redis deletes in {limit} s'
            raise Failure(after="messages in a room", got=got, expect="no time limit for it", likely=likely)
