"""Explain failures of step 10 by the errors in the servers' logs, and by the keys in Redis."""

import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any

from judge.cluster import Cluster, shared_cluster
from judge.model import Failure
from judge.subject import Subject
from redis.asyncio import Redis

TODO_OF = {"string": 1, "stream": 3, "zset": 4, "hash": 4, "set": 4, "list": 4}
"""By type of a key in Redis, the TODO that usually creates it."""
NAMES = {"string": "last", "stream": "messages", "zset": "keys"}
"""By type of a key in Redis, the end of its name in the solution."""
STRING_EVENT = (
    "The event of a StoredMessage is a string or a dict of your own, but a tab sends an ASGI event. Wrap the JSON of "
    "the message: StoredMessage(7, text_event(...)), in read_history() as in _dispatch()."
)
PASTED = (
    "The event that your script publishes isn't JSON, because it pastes a text or a name between quotation marks. Let "
    "json.dumps() encode both in publish(), and join only the id to its result in the script."
)
STAR = (
    "XADD with * lets Redis choose the id of the entry, a time in milliseconds, and your read_history() returns it as "
    "the id of the message. Pass the message's id to XADD, such as 7-0, or store it as a field and return that."
)


def explained(method: Callable[[Any, Subject], Awaitable[None]]) -> Callable[[Any, Subject], Awaitable[None]]:
    """Let a check explain its failure by the errors in the logs of all servers.

    The number of another TODO is only kept in step 10: in step 11, all these checks belong to TODO 1.
    """

    @functools.wraps(method)
    async def run(self: Any, subject: Subject) -> None:
        try:
            await method(self, subject)
        except Failure as failure:
            if subject.shares("cluster") and not failure.certain:
                await _explain(failure, await subject.settle(), await shared_cluster(subject))
            if not getattr(self, "is_step_10", False):
                failure.number = None
            raise

    return run


async def _explain(failure: Failure, log: str, cluster: Cluster) -> None:
    number, likely = failure.number, ""
    if reason := re.search(r"ResponseError: (.*)", log):
        number, likely = await _rejected(reason[1], failure, cluster)
    elif "code 1006" in failure.got and re.search(r"TypeError: .*(string indices|not subscriptable|mapping)", log):
        likely = STRING_EVENT
    elif "_dispatch" in log and re.search(r"JSONDecodeError: (Invalid control|Expecting ',' delim|Invalid .*esc)", log):
        likely = PASTED
    if likely:
        failure.number, failure.likely, failure.certain = number, likely, True


async def _rejected(reason: str, failure: Failure, cluster: Cluster) -> tuple[int | None, str]:
    """Return the TODO and the cause of an error reply of Redis."""
    shown = re.sub(r",? ?script: \w+, on @", " in @", reason).strip(" .'\"")
    if "equal or smaller" in reason and "script" not in reason:
        return 3, (
            f"Redis answers XADD with {shown!r}. Your code adds the message outside the script, so another process's "
            "message with a larger id is stored before it. Call XADD in the script."
        )
    if "equal or smaller" in reason:
        if found := await shared_key(cluster, "stream"):
            return found
        return 1, (
            "Redis answers XADD with an error, because the id that your script has assigned isn't larger than the one "
            "of the message before. Assign it with INCR on the room's own key, which rises by one each time."
        )
    if "Invalid stream ID" in reason:
        return 3, (
            "Redis rejects the id that your code passes to XADD or XRANGE. The id of message 7 is the string 7-0, in "
            "the script string.format('%d-0', id); the smallest one is 0-1."
        )
    if "WRONGTYPE" in reason:
        found = await shared_key(cluster)
        return found or (
            failure.number,
            "Two things have the same key in Redis, and different types, such as a counter and a stream. Give each its "
            "own name: redis_keys(room_id, ...) with another word for each, and a list of them as keys.",
        )
    if re.search(r"to '(format|gsub)'|invalid option|malformed pattern|invalid capture|use of '%'", reason):
        return failure.number, (
            f"Your script fails with {shown!r}: it uses the message as a format or a replacement, so a % in it is an "
            "instruction. Join strings with .. instead."
        )
    if re.search(r"nil value|must be strings or integers|nonexistent global", reason):
        return failure.number, (
            f"Your script fails with {shown!r}: it reads a KEYS[n], an ARGV[n] or a variable without a value. Compare "
            "the numbers in the script with the two lists that publish() passes; Lua counts from 1."
        )
    return failure.number, ""


async def chosen_by_redis(cluster: Cluster, room: str) -> bool:
    """Return whether Redis has chosen the ids of the entries in a stream of this room, from its clock."""
    async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
        for key, kind in (await keys_in(cluster)).items():
            if room in key and kind == "stream" and (last := await redis.xrevrange(key, count=1)):
                return int(last[0][0].partition("-")[0]) > 10**9
    return False


async def keys_in(cluster: Cluster, pattern: str = "*") -> dict[str, str]:
    """Return the keys in Redis, with their types."""
    async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
        return {key: await redis.type(key) async for key in redis.scan_iter(pattern, count=1000)}


async def shared_key(cluster: Cluster, kind: str = "") -> tuple[int, str] | None:
    """Return the TODO and the cause, if a key in Redis doesn't have a room in its name. Each room has a number."""
    found = {key: each for key, each in (await keys_in(cluster)).items() if kind in ("", each)}
    letters = sorted(key for key in found if len(key) == 1)
    if letters:
        return TODO_OF.get(found[letters[0]], 1), (
            f'Redis has the keys "{letters[0]}" ... : _publish_script() gets a string as its keys, and takes each '
            "letter for a key. Pass a list, such as redis_keys(room_id, ...)."
        )
    for key, each in sorted(found.items(), key=lambda item: TODO_OF.get(item[1], 9)):
        if not re.search(r"-\d+", key):
            return TODO_OF.get(each, 1), (
                f'The {each} "{key}" in Redis has no room in its name, so all rooms share it. Put the room into it, '
                f"as in chat:{{ROOM}}:{NAMES.get(each, 'last')}."
            )
    return None


def colliding_rooms(keys: list[str], room: str) -> dict[str, str]:
    """Return rooms with a key that equals one of this room, or a key that belongs to no room, and that key.

    A room named "lab:messages" collides with "lab", if the keys of "lab" are "chat:lab" and "chat:lab:messages".
    """
    parts = [tuple(key.split(room, 1)) for key in keys if room in key]
    rooms = {}
    for before, behind in parts:
        for key in keys:
            if key.startswith(before) and key.endswith(behind) and len(key) > len(before) + len(behind):
                other = key[len(before) : len(key) - len(behind)]
                if other != room and (room in other or not re.search(r"-\d+", key)):
                    rooms[other] = key
    return rooms
