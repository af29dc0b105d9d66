"""Step 11, TODO 3: the members of a process that was killed, whose lease expires."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable

from judge import pool
from judge.cluster import Cluster, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from redis.asyncio import Redis

from ..scale_out.every_process import EVERYWHERE, IN_REDIS, are, said
from .presence import lists_of

LEASE_TTL, LEASE_RENEW_INTERVAL = 2, 0.4
"""The settings in seconds for checks that wait until a lease expires. No other check uses their servers, because a busy
machine may delay a renewal."""
FEWEST = 5
"""The fewest intervals to count renewals for. On a busy machine, they take longer."""
SHORT_LEASES = {"LEASE_TTL": str(LEASE_TTL), "LEASE_RENEW_INTERVAL": str(LEASE_RENEW_INTERVAL)}
GONE_WITHIN = 10 / 6 * LEASE_TTL
"""The limit in seconds for the members of a killed process to be off the list: 10 for a lease of 6, and in proportion.
It's less than the rest of a lease of 6 that is 1.5 old, so an answer that hardcodes the defaults is late."""
TOLERANCE = 1.2
"""How much longer than LEASE_TTL a lease may be, as a factor."""
NEVER = (
    "Your processes don't remove the names of a killed process in time. RENEW_LEASE returns the expired processes: "
    "remove their names in update_presence() and get_presence(), and await refresh_presence() in a task, so it "
    "happens in quiet rooms too. If they're removed later: use LEASE_TTL and LEASE_RENEW_INTERVAL from settings.py."
)
NEVER_REMOVED = (
    "The lease of the killed process has expired, and its names stay on the list. Either your code doesn't store the "
    "processes that RENEW_LEASE returns: set self.expired_processes to them after each renewal. Or it accepts them too "
    "late: the limit is LEASE_TTL / 2 after the start, an outage, or a failed renewal."
)
ONLY_ON_REQUEST = (
    "The names of a killed process are removed only when a client requests the list. Await "
    "self.listener.refresh_presence() in a second task, every LEASE_RENEW_INTERVAL seconds."
)
WITHOUT_NOTICE = (
    "Your code takes the names of a killed process off the list, and sends no notice. Pass an empty list for this "
    "process to UPDATE_PRESENCE, which raises the version and publishes the change."
)
FORGOTTEN = (
    "Only one of your processes learns of an expired lease, because RENEW_LEASE deletes it when it returns it. Keep "
    "an expired lease for a while, such as an hour, so each process gets it."
)
TOO_LONG = (
    "The lease of a process is longer than LEASE_TTL: the settings are "
    f"{LEASE_TTL} s and {LEASE_RENEW_INTERVAL} s here. Import both from settings.py, and use "
    "them wherever a lease is renewed."
)
ONLY_SOME = (
    "One of the expired processes keeps its names. Either your code removes only those of the first one: go through "
    "the whole list that RENEW_LEASE returns. Or this process was killed before it had a lease, so RENEW_LEASE never "
    "returns it: renew the lease in start() too."
)
TOO_MANY = (
    "Your code removes names of processes that are alive. Remove the fields of the expired processes alone, and renew "
    "the lease of each process once in start() already."
)
STAYS_TWICE = (
    "Your code removes a name from the list although it has a tab at another process. Remove only the field of the "
    "expired process from the hash, and leave the others."
)
EVERY_ROOM = (
    "Your code removes the names of an expired process only from rooms that have a member at a process that's alive. "
    "In get_presence(), remove the names of expired processes before you return the list."
)
KEEP_LIST = (
    "Your list expires although its members are still connected, because EXPIRE isn't called when the names are sent "
    "again without a change. Call it in every update of UPDATE_PRESENCE."
)
LONG_LEASE = (
    "The lease doesn't have the length LEASE_TTL from settings.py. Use LEASE_TTL wherever a lease is renewed, also for "
    "the first time, in start() and after an outage."
)
SELDOM = (
    "The lease isn't renewed every LEASE_RENEW_INTERVAL seconds. In the task that renews it, sleep for "
    "LEASE_RENEW_INTERVAL from settings.py, instead of a number of your own."
)
ENDED = (
    "The lease of a process expires after the outage, because it's no longer renewed. Catch BrokerUnavailable "
    "inside the loops of the tasks that renew the lease and send the names, and go on."
)
OLD_EXPIRY = 100
"""The expiry that the check sets for a list, in seconds. A process that updates the list sets it to an hour again."""


class Leases:
    @check(3, "removes the members of killed processes from all lists, and no others")
    async def test_killed(self, subject: Subject) -> None:
        room, alone, other = Members.room(), Members.room("alone"), Members.room("other")
        crowd = pool.unique("crowd")
        names = [*pool.names().values()]
        async with (
            own_cluster(subject, 2, **SHORT_LEASES) as cluster,
            self._seeing_forgotten(cluster, room),
            at(cluster[1], room, "Grace") as grace,
            at(cluster[0], room, "Ada") as ada,
            at(cluster[1], crowd, "Watcher") as watcher,
        ):
            await say(ada, "one", "two")
            await said(grace, 2, after="Ada sent two messages", likely=EVERYWHERE)
            async with (
                subject.another(BROKER=cluster.redis.url, **SHORT_LEASES) as third,
                subject.another(BROKER=cluster.redis.url, **SHORT_LEASES) as fourth,
            ):
                async with (
                    at(third, room, "Linus", likely=IN_REDIS, after=0) as linus,
                    at(third, room, "Ada"),
                    at(third, alone, "Linus"),
                    at(fourth, room, "Barbara"),
                    at(fourth, other, "Barbara"),
                    _all_at(third, crowd, names),
                ):
                    after = "two messages were sent, then another process was started, and Linus joined there"
                    try:
                        await said(linus, 2, after=after, likely=IN_REDIS)
                    except Failure as failure:
                        failure.number = 1  # Report TODO 1: the history is missing, not the presence.
                        raise
                    after = "Linus and a tab of Ada joined at a third process, and Barbara at a fourth one"
                    await are(cluster, room, "Ada", "Barbara", "Grace", "Linus", after=after)
                    await asyncio.gather(*(asyncio.to_thread(each.server.kill) for each in (third, fourth)))
                    after = (
                        "Linus, a tab of Ada, and Barbara were in the room; their two processes were killed at the "
                        f"same time; LEASE_TTL is {LEASE_TTL} and LEASE_RENEW_INTERVAL is {LEASE_RENEW_INTERVAL}"
                    )
                    within = f"within {GONE_WITHIN:.1f} s (10 s with the defaults)"
                    left = {("left", "Linus"), ("left", "Barbara")}
                    try:
                        await grace.until(
                            lambda: left & {*grace.notices},
                            expect=f"left Linus, {within}",
                            likely=NEVER,
                            after=after,
                            seconds=GONE_WITHIN,
                        )
                    except Failure as failure:
                        if "no answer" in failure.got:
                            failure.likely = await self._why_listed(cluster, room)
                        raise
                    await grace.until(
                        lambda: left <= {*grace.notices},
                        expect=f"left Linus and left Barbara, {within}",
                        likely=ONLY_SOME,
                        after=after,
                        seconds=GONE_WITHIN,
                    )
            await are(cluster, room, "Ada", "Grace", after=after, likely=STAYS_TWICE)
            quiet = f"{after}; two other rooms had members at these processes alone"
            for each in (alone, other):
                await are(cluster, each, after=quiet, likely=EVERY_ROOM)
            crowded = f"{after}; {len(names)} members of another room had tabs at one of them alone"
            await watcher.until(
                lambda: len([1 for kind, _ in watcher.notices if kind == "left"]) >= len(names),
                expect=f"left for each of these {len(names)} members",
                likely=ONLY_SOME,
                after=crowded,
                seconds=GONE_WITHIN,
            )
            await are(cluster, crowd, "Watcher", after=crowded, likely=ONLY_SOME)
            await say(ada, "three")
            for log in (ada, grace):
                await said(log, 3, after=after, likely=TOO_MANY)
            told = [
                ("joined", "Ada"),
                ("joined", "Linus"),
                ("joined", "Barbara"),
                ("left", "Barbara"),
                ("left", "Linus"),
            ]
            if sorted(grace.notices) != sorted(told):
                likely = STAYS_TWICE if ("left", "Ada") in grace.notices else TOO_MANY
                expect = f"the notices {show(told)}, each once"
                raise Failure(after=after, got=f"the notices {show(grace.notices)}", expect=expect, likely=likely)
            # On a busy machine, a lease of 6 s may expire within the time for an answer.
            async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
                longest = max((left for _, _, left in await _leases(redis)), default=0.0)
            if longest > TOLERANCE * LEASE_TTL:
                got = f"a lease that expires {longest:.1f} s later"
                raise Failure(after=after, got=got, expect=f"{LEASE_TTL} s, the LEASE_TTL", likely=TOO_LONG)
            await self._keeps_list(cluster, room)

    @contextlib.asynccontextmanager
    async def _seeing_forgotten(self, cluster: Cluster, room: str) -> AsyncIterator[None]:
        """Explain a failure by expired leases that Redis has lost, if that's its cause."""
        try:
            yield
        except Failure as failure:
            if failure.likely in (ONLY_SOME, EVERY_ROOM) and await self._why_listed(cluster, room) == FORGOTTEN:
                failure.likely = FORGOTTEN
            raise

    @staticmethod
    async def _why_listed(cluster: Cluster, room: str) -> str:
        """Return why no member got `left` for the names of a killed process, from its lease and the list."""
        async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
            scores = [left for _, _, left in await _leases(redis)]
            in_redis = [key for key in await lists_of(redis, room) if "Linus" in str(await redis.hgetall(key))]
        if not scores:
            return NEVER
        if max(scores) > TOLERANCE * LEASE_TTL:
            return TOO_LONG
        if min(scores) > 0:
            return FORGOTTEN
        if not in_redis:
            return WITHOUT_NOTICE
        answer = await cluster[1].get(Members.list_path(room), likely=NEVER)
        if answer.status_code != 200:
            return NEVER
        return NEVER_REMOVED if "Linus" in answer.json().get("names", ()) else ONLY_ON_REQUEST

    @staticmethod
    async def _keeps_list(cluster: Cluster, room: str) -> None:
        """Check that processes that only send their names again keep a list from expiring."""
        async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
            for key in await lists_of(redis, room):
                await redis.expire(key, OLD_EXPIRY)
            end = time.monotonic() + 10 * LEASE_RENEW_INTERVAL
            while seconds := [
                each for key in await lists_of(redis, room) if (each := await redis.ttl(key)) <= OLD_EXPIRY
            ]:
                if time.monotonic() > end:
                    after = f"two members stayed in the room, while the list's key was set to expire in {OLD_EXPIRY} s"
                    got = f"it still expires in {seconds[0]} s, {10 * LEASE_RENEW_INTERVAL:g} s later"
                    expect = f"the expiry 3600 s again, after at most {LEASE_RENEW_INTERVAL} s"
                    raise Failure(after=after, got=got, expect=expect, likely=KEEP_LIST)
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def _all_at(subject: Subject, room: str, names: Iterable[str]) -> AsyncIterator[None]:
    """Let members with these names join a room at a server."""
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            await stack.enter_async_context(at(subject, room, name))
        yield


async def _leases(redis: Redis) -> list[tuple[str, float, float]]:
    """Return the process, the score, and the seconds until the score's time, of each lease in a sorted set."""
    found = []
    async for key in redis.scan_iter(_type="zset", count=1000):
        for process, score in await redis.zrange(key, 0, -1, withscores=True):
            left = score - time.time()
            if -3600 < left < 3600:
                found.append((process, score, left))
    return found


async def watch_leases(cluster: Cluster, seconds: float, *, processes: int, after: str) -> None:
    """Check for a while that the leases in Redis are renewed in time, and for LEASE_TTL.

    It reads the sorted set that RENEW_LEASE writes. An answer may store its leases in another way.

    Args:
        cluster: the servers, with SHORT_LEASES.
        seconds: the time to watch.
        processes: the number of running processes.
        after: the preceding events, for the message of a failure.

    Raises:
        Failure: a lease is longer than LEASE_TTL, or isn't renewed every LEASE_RENEW_INTERVAL.
    """
    scores: dict[str, set[float]] = {}
    longest = 0.0
    async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
        # Judge against requests of this check, because a busy machine also delays renewals.
        ticks, next_tick = 0, time.monotonic() + LEASE_RENEW_INTERVAL
        end = time.monotonic() + seconds
        while time.monotonic() < end or ticks < FEWEST:
            for process, score, left in await _leases(redis):
                longest = max(longest, left)
                scores.setdefault(process, set()).add(score)
            await asyncio.sleep(0.02)
            if time.monotonic() > next_tick:
                ticks, next_tick = ticks + 1, time.monotonic() + LEASE_RENEW_INTERVAL
    if longest > TOLERANCE * LEASE_TTL:
        got = f"a lease that expires {longest:.1f} s later"
        raise Failure(after=after, got=got, expect=f"{LEASE_TTL} s, the LEASE_TTL", likely=LONG_LEASE)
    renewals = sorted((len(some) - 1 for some in scores.values()), reverse=True)[:processes]
    if scores and renewals[-1] < ticks / 2:
        got = f"in {seconds:.1f} s, the leases of {processes} processes were renewed {show(renewals)} times"
        expect = f"each renewed about {ticks} times, every {LEASE_RENEW_INTERVAL} s"
        raise Failure(after=after, got=got, expect=expect, likely=SELDOM if renewals[-1] else ENDED)
