"""Step 11, TODO 5: leases and messages after error replies from Redis, which are outages too."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from judge.cluster import NO_REDIS, at, own_cluster
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject, again
from redis.asyncio import Redis
from workshop.redis_server import RedisServer

from ..scale_out.every_process import UNJUDGED, are, said
from .leases import LEASE_RENEW_INTERVAL, LEASE_TTL, SHORT_LEASES
from .unavailable import REPLIES, gets_an_error, refuses_for_now, try_until_acknowledged

RENEWS = (
    "The task that renews the lease ends with an error reply, because it catches only lost connections. Catch "
    "ResponseError, or BrokerUnavailable, inside its loop, and go on."
)
LATE = (
    "Your process removes members whose processes couldn't renew their leases during the error replies. When a renewal "
    "fails, clear self.expired_processes and store the time; accept expired processes again LEASE_TTL / 2 later."
)
RESENT = (
    "The repeated messages are there twice, or are missing. Store the key in the script that stores the message, and "
    "let Redis run a script that it rejects with OOM not in part."
)


class ErrorReplies:
    @check(5, "continues after error replies of Redis, such as out of memory" + UNJUDGED)
    async def test_out_of_memory(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        room = Members.room()
        clock = asyncio.get_running_loop().time
        async with own_cluster(subject, 2, real=True, **SHORT_LEASES) as cluster:
            async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                await are(cluster, room, "Ada", "Grace", after="Ada and Grace joined at two processes")
                # Use different keys, because other checks cover keys of different senders.
                senders = ((ada, "Ada's key"), (grace, "Grace's key"))
                async with out_of_memory(cluster.redis):
                    # Keep the outage going until every lease has expired.
                    expired = clock() + LEASE_TTL + 0.1
                    after = "Redis had no memory left, so it answered every write with OOM"
                    for log, key in senders:
                        request = {"type": "message", "text": "hello", "key": key}
                        await gets_an_error(log, request, after=f"{after}; then a message was sent", likely=REPLIES)
                    for host in cluster.servers:
                        await refuses_for_now(host, room, after=after, likely=REPLIES)
                    await asyncio.sleep(expired - clock())
                after = (
                    f"Redis answered with OOM for longer than LEASE_TTL, which is {LEASE_TTL} s, and then worked again"
                )
                for log, key in senders:
                    await try_until_acknowledged(log, "hello", key, after=after, likely=REPLIES)
                recovered = clock()
                # Request the lists while each process renews its lease for the first time: a process whose lease isn't
                # renewed yet must not be taken off a list meanwhile.
                async for _ in again():
                    for host in cluster.servers:
                        await host.get(Members.list_path(room), likely=LATE)
                    if clock() > recovered + 2 * LEASE_RENEW_INTERVAL:
                        break
                async with (
                    subject.another(BROKER=cluster.redis.url, **SHORT_LEASES) as third,
                    at(third, room, "Linus") as linus,
                ):
                    after += "; then Linus joined at a new process"
                    cluster.servers.append(third)
                    # Wait longer than a lease: one that was renewed only once after the recovery expires meanwhile. A
                    # process that has just started, on a busy machine perhaps late, expires none for half that time.
                    expires = max(recovered + LEASE_TTL, clock() + LEASE_TTL / 2)
                    await asyncio.sleep(expires + 1.5 * LEASE_RENEW_INTERVAL - clock())
                    await are(cluster, room, "Ada", "Grace", "Linus", after=after, likely=RENEWS)
                    for log in (ada, grace, linus):
                        await log.settles(likely=RENEWS)
                        if any(kind == "left" for kind, _ in log.notices):
                            # All are on the list, so the leases are renewed, but a member was off the list meanwhile.
                            got = f"the notices {show(log.notices)}"
                            raise Failure(after=after, got=got, expect="no notice that a member left", likely=LATE)
                for log in (ada, grace):
                    await said(
                        log,
                        2,
                        after="Ada and Grace sent a message each, with a key, until it had its ack",
                        likely=RESENT,
                    )


@contextlib.asynccontextmanager
async def out_of_memory(server: RedisServer) -> AsyncIterator[None]:
    """Let a real Redis answer every write with OOM until the context ends."""
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            await redis.config_set("maxmemory", 0)
