"""Step 11, TODO 4: errors instead of silence while Redis is unavailable."""

import asyncio
from typing import Any

from judge.cluster import NO_REDIS, MemberLog, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject, again
from redis.asyncio import Redis

from ..scale_out.every_process import EVERYWHERE, said

UNAVAILABLE = (
    "while Redis is away, publish() and publish_transient() raise BrokerUnavailable, so that the sender gets an error"
)
BACK = "when the connection is lost, subscribe again, and then read from the stream what was missed"
NOT_RESYNCED = f"{BACK}; resync() itself asks, so say before it that Redis is there"
EMPTY = (
    "In an outage, your read_history() or update_presence() returns without an error, as if the room were empty. Raise "
    "BrokerUnavailable there too: chat.py answers it with 503."
)
NO_503 = (
    "A call of your broker raises an error of redis-py in an outage, or returns as if all were well. Let "
    "every method raise BrokerUnavailable: chat.py and members.py answer it with 503."
)
REPLIES = (
    "Your code doesn't treat an error reply as an outage: redis-py raises ResponseError for it, which is neither a "
    "ConnectionError nor a TimeoutError. Catch it where you catch those, and raise BrokerUnavailable."
)
RESUBSCRIBES = (
    "Your process doesn't subscribe again after the outage, so it gets no messages. Catch its error in a loop, and "
    "subscribe again after a short delay until Redis is available."
)
WITHIN = 5.0
"""The limit for every process to deliver messages again after an outage, in seconds."""


async def try_until_acknowledged(
    log: MemberLog,
    text: str,
    key: str,
    *,
    after: str,
    likely: str,
    refused: str = NOT_RESYNCED,
    seconds: float = 10,
) -> int:
    """Send a message repeatedly with the same key, as a client does after an error, until it's acknowledged.

    Args:
        log: the log of the sender's tab.
        text: the text of the message.
        key: the key of the message.
        after: the preceding events, for the message of a failure.
        likely: the likely cause if no answer arrives.
        refused: the likely cause if every answer is an error.
        seconds: the limit for the acknowledgement.

    Returns:
        The id from the acknowledgement.

    Raises:
        Failure: an attempt gets no answer within 4 s, or none is acknowledged in time.
    """
    expect = f"an acknowledgement of the key {key}, or an error"
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        errors = len(log.errors)
        await say(log, text, key=key)

        def answered(errors: int = errors) -> bool:
            return key in log.acks or len(log.errors) > errors

        await log.until(answered, expect=expect, likely=likely, after=after, seconds=4)
        if key in log.acks:
            return log.acks[key]
        await asyncio.sleep(0.05)
    got = f"an error for every try, for {seconds:g} s"
    raise Failure(after=after, got=got, expect=expect, likely=refused)


async def gets_an_error(log: MemberLog, request: dict[str, Any], *, after: str, likely: str = UNAVAILABLE) -> None:
    """Send a request during an outage, and check that it gets an error, with its key and retry if it has a key.

    Raises:
        Failure: the request gets another answer, or none within 4 s.
    """
    key = request.get("key", "")
    wanted = {"key": key, "retry": True} if key else {}
    expect = f"{show({'type': 'error', 'detail': '...'} | wanted)} and the connection still open"
    before = len(log.errors)
    await log.tab.send(request)
    await log.until(
        lambda: len(log.errors) > before or key in log.acks, expect=expect, likely=likely, after=after, seconds=4
    )
    if key in log.acks:
        likely = (
            "Your publish() returns an id, although Redis doesn't have the message. Raise BrokerUnavailable instead."
        )
        raise Failure(after=after, got=f"an ack with the id {log.acks[key]}", expect=expect, likely=likely)
    error = {name: value for name, value in log.errors[-1].items() if name in ("key", "retry")}
    if error != wanted:
        likely = (
            "Your code answers BrokerUnavailable with another error than chat.py does. With a key, the error has the "
            "key, and retry is true, so that the client sends the message again; without one, it has neither."
        )
        raise Failure(after=after, got=show(log.errors[-1]), expect=expect, likely=likely)


async def refuses_for_now(host: Subject, room: str, *, after: str) -> None:
    """Check that a handshake gets HTTP 503 in an outage.

    Raises:
        Failure: it gets another answer.
    """
    answer = await host.handshake(Members.path(room, "Linus"))
    if answer != 503:
        if not isinstance(answer, int):
            await answer.close()
        got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
        expect = "HTTP 503, so that a client tries again later"
        likely = NO_503 if answer == 500 else EMPTY
        raise Failure(sent="a handshake", after=after, got=got, expect=expect, likely=likely)


class Unavailable:
    @check(4, "answers with errors while Redis is unavailable, and delivers messages again after that")
    async def test_unavailable(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            own_cluster(subject, 2) as cluster,
            at(cluster[0], room, "Ada") as ada,
            at(cluster[1], room, "Grace") as grace,
        ):
            await say(ada, "text 1")
            for log in (ada, grace):
                await said(log, 1, after="Ada sent a message", likely=EVERYWHERE)
            await asyncio.to_thread(cluster.redis.kill)
            for log, kind, more in (
                (ada, "message", {}),
                (grace, "direct", {}),
                (grace, "message", {}),
                (grace, "message", {"key": "in the outage"}),
            ):
                request = {"type": kind, "to": "Ada", "text": "in the outage"} | more
                await gets_an_error(log, request, after=f"Redis was killed, and then a {kind} was sent")
            for host in cluster.servers:
                await refuses_for_now(host, room, after="Redis was killed")
                for method, path in (("GET", Members.list_path(room)), ("DELETE", f"{Members.list_path(room)}/Ada")):
                    answer = await host.request(method, path, likely=EMPTY)
                    if answer.status_code != 503:
                        got = f"status {answer.status_code}"
                        sent = f"{method} {path}"
                        raise Failure(sent=sent, after="Redis was killed", got=got, expect="status 503", likely=NO_503)
            await asyncio.to_thread(cluster.redis.start)
            after = "Redis was killed and started again"
            await self._delivers_again(ada, grace, after)
            await self._delivers_again(grace, ada, after)
            if NO_REDIS:
                return
            async with Redis.from_url(cluster.redis.url) as redis:
                await redis.config_set("maxmemory", 1)
                after = "Redis had no memory left, so it answered every write with OOM; then a message was sent"
                for log in (ada, grace):
                    request = {"type": "message", "text": "hello", "key": "out of memory"}
                    await gets_an_error(log, request, after=after, likely=REPLIES)
                await redis.config_set("maxmemory", 0)
            await self._delivers_again(ada, grace, "Redis had no memory left, and then it had some again")

    @staticmethod
    async def _delivers_again(sender: MemberLog, receiver: MemberLog, after: str) -> None:
        """Let a member send messages until one is delivered to the other member, at another process."""
        before = len(receiver.messages)
        end = asyncio.get_running_loop().time() + WITHIN
        number = 0
        async for _ in again():
            number += 1
            text = f"{after}: {number}, {len(sender.messages)}"
            await try_until_acknowledged(
                sender, text, text[-64:], after=after, likely=UNAVAILABLE, refused=RESUBSCRIBES
            )
            await receiver.settles(likely=RESUBSCRIBES)
            if len(receiver.messages) > before:
                return
            if asyncio.get_running_loop().time() > end:
                got = f"{number} messages were acknowledged, and a member at another process got none of them"
                expect = "each message at both processes"
                raise Failure(after=after, got=got, expect=expect, likely=RESUBSCRIBES)
