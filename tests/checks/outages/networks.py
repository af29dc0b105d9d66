"""Step 11, TODOs 3 and 5: a slow and a half-open network between a process and Redis."""

import asyncio
import contextlib

from judge.cluster import MemberLog, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject, again

from ..scale_out.every_process import EVERYWHERE, KEYS, are, said
from .leases import LEASE_TTL
from .unavailable import gets_an_error, refuses_for_now, try_until_acknowledged, unavailable_over_http

DELAY = 0.09
"""The one-way delay to Redis over the slow network, in seconds."""
BYTES_PER_SECOND = 7000
"""The bandwidth of each connection to Redis over the slow network."""
SLOW_RENEW_INTERVAL = 0.6
"""The setting of these servers, in seconds. A process that sends a ping to Redis waits this long for the reply."""
SLOW_LEASES = {"LEASE_TTL": str(LEASE_TTL), "LEASE_RENEW_INTERVAL": str(SLOW_RENEW_INTERVAL)}
ROOMS = 20
"""The number of rooms. With one round trip for each, sending the names to Redis takes longer than a lease."""
RENEWED_LATE = (
    "The lease is renewed late, because it waits until the names of all rooms are sent: in the same task, in the same "
    "pipeline, or in one round trip for each room. Renew the lease in a separate task and a separate command, and let "
    "update_presence() send all its rooms in one pipeline."
)
ASKS = (
    "Your subscription only waits for messages, so it doesn't notice that its connection is lost. When get_message() "
    "returns None, await pubsub.ping(), and subscribe again if nothing is received after that either."
)
TIMEOUT = (
    "Your process waits too long for a Redis that doesn't answer: redis-py waits 5 s by default, and indefinitely with "
    "socket_timeout=None. Pass socket_timeout=3. If you pass it already, redis-py retries by itself: pass "
    "retry=Retry(NoBackoff(), 0)."
)
STOPS = (
    "A process that stops keeps its names on the list until its lease expires. In stop(), end the tasks, and then send "
    "[] for each room of this process, before self.redis.aclose()."
)
ANSWERED_WITHIN = 6.0
"""The time for an answer over HTTP while Redis doesn't answer, in seconds. A timeout of 3 s fits in."""
RECEIVED_WITHIN = 6.0
"""The limit for a process to resubscribe and read the missed messages, in seconds. A timeout of 3 s fits in."""


class Networks:
    @check(3, "keeps its members on the list, although Redis is slow")
    async def test_slow(self, subject: Subject) -> None:
        rooms = [Members.room() for _ in range(ROOMS)]
        async with own_cluster(subject, 2, links=1, **SLOW_LEASES) as cluster, contextlib.AsyncExitStack() as stack:
            for room in rooms:
                await stack.enter_async_context(at(cluster[0], room, "Ada"))
            grace = await stack.enter_async_context(at(cluster[1], rooms[0], "Grace"))
            after = (
                f"Ada joined {ROOMS} rooms at a process where Redis takes {2000 * DELAY:.0f} ms to answer, over a "
                f"network of {BYTES_PER_SECOND // 1000} kB/s; Grace joined one of these rooms at another process"
            )
            await are(cluster, rooms[0], "Ada", "Grace", after=after, likely=RENEWED_LATE)
            cluster.links[0].network.delay = DELAY
            # The names of all rooms take longer than a lease at this rate, and a renewal doesn't.
            cluster.links[0].network.bytes_per_second = BYTES_PER_SECOND
            # Wait until a lease expires that isn't renewed while the names are sent: it may be renewed once more, after
            # one interval, and Grace's process detects the end within another one.
            await asyncio.sleep(LEASE_TTL + 4 * SLOW_RENEW_INTERVAL)
            await grace.settles(likely=RENEWED_LATE)
            if grace.notices:
                got = f"in this room, Grace got the notices {show(grace.notices)}"
                expect = "no notice to Grace, because Ada is still connected"
                after += f"; LEASE_TTL is {LEASE_TTL} and LEASE_RENEW_INTERVAL is {SLOW_RENEW_INTERVAL}"
                raise Failure(after=after, got=got, expect=expect, likely=RENEWED_LATE)

    @check(5, "continues after its connections to Redis are lost without a close")
    async def test_half_open(self, subject: Subject) -> None:
        room = Members.room()
        # Set a lease longer than the outage, because this check is about the subscription.
        settings = {"LEASE_TTL": "12", "LEASE_RENEW_INTERVAL": str(SLOW_RENEW_INTERVAL)}
        async with own_cluster(subject, 2, links=1, **settings) as cluster:
            async with (
                at(cluster[0], room, "Ada") as ada,
                at(cluster[0], room, "Zoe") as zoe,
                at(cluster[1], room, "Grace") as grace,
            ):
                await say(ada, "text 1")
                for log in (ada, grace):
                    await said(log, 1, after="Ada sent a message", likely=EVERYWHERE)
                link = cluster.links[0]
                before = link.network.accepted
                link.half_open()
                after = "the network between Ada's process and Redis delivered nothing, and closed no connection"
                await say(grace, *(f"text {number}" for number in range(2, 7)))
                await said(grace, 6, after=f"{after}; then Grace sent 5 messages", likely=EVERYWHERE)
                await self._all_get_an_answer(cluster[0], room, ada, zoe, after)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(4):
                        async for _ in again():
                            if link.network.accepted > before:
                                break
                link.restore()
                after += "; meanwhile Grace sent 5 messages, and then new connections worked"
                await try_until_acknowledged(ada, "text 7", "k", after=after, likely=TIMEOUT, refused=TIMEOUT)
                after += ", and Ada sent hers again until it had its ack"
                await ada.until(
                    lambda: ada.messages[-1]["text"] == "text 7",
                    expect="the messages 1 to 7 at both processes, each once",
                    likely=ASKS,
                    after=after,
                    seconds=RECEIVED_WITHIN,
                )
                for log in (ada, grace):
                    await said(log, 7, after=after, likely=KEYS)
                await are(cluster, room, "Ada", "Grace", "Zoe", after=after, likely=ASKS)
                for log in (ada, grace):
                    await log.settles(likely=ASKS)
                    if any(kind == "left" for kind, _ in log.notices):
                        got = f"the notices {show(log.notices)}"
                        raise Failure(after=after, got=got, expect="no notice that a member left", likely=ASKS)
                await asyncio.to_thread(cluster[1].server.stop, 4)
                after = "Grace's process was stopped by SIGTERM, with a LEASE_TTL of 12 s"
                await ada.until(
                    lambda: ("left", "Grace") in ada.notices, expect="left Grace", likely=STOPS, after=after, seconds=4
                )

    @staticmethod
    async def _all_get_an_answer(host: Subject, room: str, ada: MemberLog, zoe: MemberLog, after: str) -> None:
        """Send every kind of request to a process whose Redis doesn't answer, all at the same time."""
        message = {"type": "message", "text": "text 7", "key": "k"}
        direct = {"type": "direct", "to": "Ada", "text": "psst"}
        path = Members.list_path(room)
        patient = Subject(host.server, ANSWERED_WITHIN, host.folder)
        results = await asyncio.gather(
            gets_an_error(ada, message, after=f"{after}; then Ada sent a message", likely=TIMEOUT),
            gets_an_error(zoe, direct, after=f"{after}; then Zoe sent a direct message", likely=TIMEOUT),
            unavailable_over_http(patient, "GET", path, after=after, likely=TIMEOUT),
            unavailable_over_http(patient, "DELETE", f"{path}/Ada", after=after, likely=TIMEOUT),
            refuses_for_now(patient, room, after=after, likely=TIMEOUT),
            return_exceptions=True,
        )
        for failure in results:
            if isinstance(failure, BaseException):
                raise failure
