"""Checks for the messages and members that every process must have, for the checks of steps 10 and 11."""

import asyncio
import contextlib

from judge.cluster import NO_REDIS, PRESENCE, Cluster, MemberLog
from judge.members import Members
from judge.messages import show
from judge.model import Failure
from judge.subject import again

UNJUDGED = " (not judged: there is no redis-server here)" * NO_REDIS
"""The suffix for titles of checks that fakeredis can't serve: it has no CLIENT LIST, and no file to restart from."""
EVERYWHERE = "publish to Redis, and let every process pass on what it hears from there, its own messages too"
IN_REDIS = (
    "the history is in a stream in Redis, and read_history() reads it: what a process has in memory, another has not"
)
KEYS = "the keys are known in Redis, by room and sender, and are looked up in the same script that gives the id"
APART = "every key that holds something of a room has the room in its name: rooms know nothing of each other"


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
