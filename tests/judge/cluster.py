"""Several servers of one answer, like separate machines, and the Redis that connects them."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from redis.asyncio import Redis as AsyncRedis
from workshop.network import Network
from workshop.redis_server import RedisServer

from .clients import Client
from .members import PING, Members, members_list
from .messages import show
from .model import Failure
from .redis_tap import Tap, tap
from .subject import Subject, again
from .tasks import together

REAL = True if os.environ.get("CI") else None
"""Whether each Redis must be the real one: True if CI is set. If it's None, each check decides."""
NO_REDIS = not shutil.which("redis-server") and not REAL
"""Whether checks that need a real Redis are left out."""
PRESENCE = (
    "A process lists only its own members. Store the names of each process in Redis, and return those of all processes."
)
JOINS = (
    "Your server refuses a member, or sends it something else than the list of members first. If your code raised an "
    "error, Server or Printed shows it."
)
REFUSED = "read_history() or update_presence() raised BrokerUnavailable: is Redis reached, and do the scripts load?"
NO_ID = (
    "An ack has no id, so publish() doesn't return a number. Return the id of the message, in the script with "
    "return id."
)
SHUTS_DOWN = (
    "A background task of your broker has ended, so the server shuts down: Printed has the reason. Catch "
    "BrokerUnavailable and the exceptions of redis-py inside the loop of each task, and go on."
)
"""The likely cause if a server closes its connections with 1012 while Redis is unavailable."""


@dataclass
class Link:
    """The network between a server and Redis.

    Its event loop runs in its own thread, because the checks' loop is delayed under load.
    """

    network: Network
    portal: BlockingPortal

    def half_open(self) -> None:
        """Stop delivering data, including on new connections, and close no connection."""
        self.portal.call(lambda: self.network.half_open(new=True))

    def restore(self) -> None:
        """Let new connections work again."""
        self.portal.call(self.network.restore)


@dataclass
class Cluster:
    """Servers that share a Redis."""

    redis: RedisServer
    servers: list[Subject]
    links: list[Link] = field(default_factory=list)
    """The links between the first servers and Redis. The other servers are connected directly."""
    taps: list[Tap] = field(default_factory=list)
    """The proxies between the first servers and Redis, for a cluster without links."""

    def __getitem__(self, place: int) -> Subject:
        return self.servers[place]


async def shared_cluster(subject: Subject) -> Cluster:
    """Return three servers that all checks of a subject share. No check ends one of them."""
    return await subject.share("cluster", lambda: _start(subject))


async def _start(subject: Subject) -> Cluster:
    redis = await asyncio.to_thread(RedisServer, real=REAL)
    subject.at_end.append(redis.close)
    if redis.program:
        # No check restarts this Redis, so it needs no file. Syncing each message takes longer than all the rest.
        async with AsyncRedis.from_url(redis.url) as client:
            await client.config_set("appendonly", "no")
    # Set HOST only to make the settings differ: equal settings would return the same server.
    starting = (subject.under(BROKER=redis.url, HOST=str(number)) for number in range(3))
    return Cluster(redis, await together(*starting))


async def separate_cluster(subject: Subject) -> Cluster:
    """Return two of the shared servers and a new Python process at their Redis, which all checks share too.

    Each machine has its own `hash()` of strings, but forks of one process share it. Only the checks that depend on it
    use a new Python process, because its start takes ten times as long as a fork.
    """
    cluster = await shared_cluster(subject)
    return Cluster(cluster.redis, [*cluster.servers[:2], await subject.under(BROKER=cluster.redis.url, cold=True)])


@contextlib.asynccontextmanager
async def own_cluster(
    subject: Subject,
    number: int,
    *,
    real: bool | None = None,
    links: int = 0,
    taps: int = 0,
    noisy: bool = False,
    **settings: str,
) -> AsyncIterator[Cluster]:
    """Start servers and a Redis for one check, which may end them.

    Args:
        subject: the answer.
        number: the number of servers.
        real: whether it must be a real Redis; None uses the available one.
        links: the number of servers that reach Redis through their own network.
        taps: the number of servers that reach Redis through their own `Tap`, without links.
        noisy: whether the logs of the servers may contain tracebacks; see `Subject.another`.
        settings: environment variables of the servers.
    """
    redis = await asyncio.to_thread(RedisServer, real=real or REAL)
    try:
        async with contextlib.AsyncExitStack() as stack:
            linked = [stack.enter_context(_link(redis)) for _ in range(links)]
            tapped = [stack.enter_context(tap(redis)) for _ in range(taps)]
            urls = [link.network.url for link in linked] + [each.url for each in tapped]
            urls += [redis.url] * (number - len(urls))
            starting = (subject.another(BROKER=url, noisy=noisy, **settings) for url in urls)
            others = (stack.enter_async_context(server) for server in starting)
            yield Cluster(redis, await together(*others), linked, tapped)
    finally:
        await asyncio.to_thread(redis.close)


@contextlib.contextmanager
def _link(redis: RedisServer) -> Iterator[Link]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Network(redis)) as network:
        yield Link(network, portal)


@dataclass
class MemberLog:
    """The messages that one tab has received, by kind: those of different processes may arrive in any order."""

    tab: Client
    messages: list[dict[str, Any]] = field(default_factory=list)
    acks: dict[str, int] = field(default_factory=dict)
    gaps: list[int] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    directs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        """The ids of the messages, in the order of arrival."""
        return [each.get("id") for each in self.messages]

    async def receive(self, *, expect: str, likely: str) -> None:
        """Receive the next message.

        Raises:
            Failure: none arrives, or the server may not send it to a member.
        """
        value = await self.tab.next_object(expect=expect, likely=likely)
        match value:
            case {"type": "message", "id": int(), "from": str(), "text": str()}:
                self.messages.append(value)
            case {"type": "ack", "key": str(key), "id": int(number)}:
                self.acks[key] = number
            case {"type": "ack"}:
                raise Failure(sent=self.tab.did, got=show(value), expect="an ack with key and id", likely=NO_ID)
            case {"type": "gap", "missed": int(missed)}:
                self.gaps.append(missed)
            case {"type": "error", "detail": str()}:
                self.errors.append(value)
            case {"type": "joined" | "left" as kind, "name": str(name)}:
                self.notices.append((kind, name))
            case {"type": "members", "names": list(names)}:
                self.names = names
            case {"type": "direct"}:
                self.directs.append(value)
            case {"type": "ping"}:
                pass
            case _:
                raise Failure(sent=self.tab.did, got=show(value), expect=expect, likely=likely)

    async def until(self, holds: Any, *, expect: str, likely: str, after: str, seconds: float = 0) -> None:
        """Receive messages until a condition holds.

        Args:
            holds: the condition, called without arguments.
            seconds: the time until it must hold; by default the tab's timeout for each message.

        Raises:
            Failure: it doesn't hold in time.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        end = begun + seconds
        while not holds():
            try:
                await self.receive(expect=expect, likely=likely)
            except Failure as failure:
                if "no answer" in failure.got and clock() < end:
                    continue
                failure.after, failure.sent = after, None
                if "code 1012" in failure.got:
                    failure.likely = SHUTS_DOWN
                if "no answer" in failure.got:
                    waited = max(self.tab.patience, clock() - begun) if seconds else self.tab.patience
                    failure.got = f"no answer within {waited:.2g} s, after {self}"
                raise

    async def settles(self, *, likely: str) -> None:
        """Send a message that isn't JSON and wait for its error, so all earlier messages have arrived.

        Raises:
            Failure: it isn't answered.
        """
        before = len(self.errors)
        await self.tab.send("no JSON")
        expect = "an error for a frame that is no JSON"
        await self.until(
            lambda: len(self.errors) > before, expect=expect, likely=likely, after="a frame that is no JSON"
        )
        # Expected, so a failure doesn't print it.
        self.errors.pop()

    def __str__(self) -> str:
        received = [f"{len(self.messages)} message{'s' * (len(self.messages) != 1)}"]
        if self.messages:
            received[0] += f" with the id{'s' * (len(self.ids) > 1)} {shortened(self.ids)}"
        for title, some in (
            ("acks", self.acks),
            ("gaps", self.gaps),
            ("errors", len(self.errors)),
            ("notices", self.notices),
        ):
            many = isinstance(some, dict | list) and len(some) > 9
            received += [f"{len(some)} {title}" if many else f"{title} {show(some)}"] if some else []
        return ", ".join(received)


@contextlib.asynccontextmanager
async def at(
    subject: Subject, room: str, name: str, *, likely: str = JOINS, small_buffers: bool = False, **query: Any
) -> AsyncIterator[MemberLog]:
    """Open a tab at a server, and read its list of members.

    On a busy machine, a broker may get the answer to its ping too late, and subscribe again. Meanwhile, it refuses new
    tabs with 503, or closes them with 1013. So this tries again after both, at most for the patience.

    Args:
        subject: the server.
        room: the room.
        name: the name of the member.
        likely: the mistake, if the tab isn't accepted, or doesn't get the list.
        small_buffers: see `handshakes.handshake`.
        query: further parameters of the path.

    Raises:
        Failure: it isn't accepted, or doesn't get the list.
    """
    path = Members.path(room, name, **{key: str(value) for key, value in query.items()})
    end = asyncio.get_running_loop().time() + subject.patience
    async for _ in again():
        async with contextlib.AsyncExitStack() as stack:
            try:
                tab = await stack.enter_async_context(subject.client(path, small_buffers=small_buffers))
            except Failure as failure:
                if failure.got == "HTTP 503" and asyncio.get_running_loop().time() < end:
                    continue
                # After an error of the code, the failure has a better cause already.
                if failure.got != "HTTP 500":
                    failure.likely = REFUSED if failure.got == "HTTP 503" else likely
                raise
            log = MemberLog(tab)
            tab.ignored = PING
            try:
                log.names = (await members_list(tab, path, likely=likely))["names"]
            except Failure as failure:
                if "code 1013" in failure.got and asyncio.get_running_loop().time() < end:
                    continue
                raise
            yield log
            return


async def say(log: MemberLog, *texts: str, **more: str) -> None:
    """Send messages with these texts."""
    for text in texts:
        await log.tab.send({"type": "message", "text": text} | more)


def shortened(numbers: list[int]) -> str:
    """Return the first and the last of many numbers."""
    texts = [str(number) for number in numbers]
    return ", ".join(texts if len(texts) < 9 else [*texts[:4], "...", *texts[-4:]])
