"""Step 11, TODO 5, hard cases: half a LEASE_TTL in which no lease counts as expired."""

import asyncio
import time

from judge.cluster import at, own_cluster
from judge.conversation import pause
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.redis_tap import tap
from judge.subject import Subject, again
from redis.asyncio import Redis

TTL, INTERVAL = 3, 0.2
"""The settings of the process that expires leases, in seconds."""
LATE = {"LEASE_TTL": "1", "LEASE_RENEW_INTERVAL": "60"}
"""The settings of a process whose lease expires although the process is alive, as after an outage."""
GONE_WITHIN = 8.0
"""The limit for the names to be removed after the grace period, in seconds."""
AT_START = (
    "A process that has just started removes the names of processes that couldn't renew their leases yet. Store the "
    "time before the first renewal, and accept expired processes only if a renewal is more than LEASE_TTL / 2 later."
)
AFTER_FAILURE = (
    "After a renewal that failed, your process still removes the names of processes that it had found before, or that "
    "couldn't renew their leases either. When a renewal fails, clear self.expired_processes, and store the time again."
)
AFTER_OUTAGE = (
    "After your process has subscribed again, it removes the names of processes that couldn't renew their leases "
    "either. After each subscription, clear self.expired_processes and store the time, and then renew the lease."
)
NEVER_AGAIN = (
    "Your process removes no expired process after this, because the grace period doesn't end. Compare the time with "
    "the start of the grace period at each renewal, and accept the result once LEASE_TTL / 2 has passed."
)


class Grace:
    @check(5, "expires no lease for half a LEASE_TTL after a start, a failed renewal and an outage", hard=True)
    async def test_grace(self, subject: Subject) -> None:
        room = Members.room()
        late = "another process hadn't renewed its lease for LEASE_TTL, and was alive"
        async with own_cluster(subject, 1, **LATE) as cluster, at(cluster[0], room, "Ada"):
            # Wait until the lease of Ada's process has expired.
            await pause(1.1)
            with tap(cluster.redis) as network:
                started = time.monotonic()
                settings = {"LEASE_TTL": str(TTL), "LEASE_RENEW_INTERVAL": str(INTERVAL)}
                async with subject.another(BROKER=network.url, **settings) as host:
                    after = f"{late}; then a process was started, with LEASE_TTL {TTL}"
                    await self._stays(host, room, "Ada", started, after, AT_START)
                    await self._goes(host, room, after)
                    if key := await self._leases_key(cluster.redis.url):
                        failed = time.monotonic()
                        network.rejected = 0
                        network.error, network.reject = b"OOM command not allowed", key.encode()
                        async for _ in again():
                            if network.rejected or time.monotonic() > failed + GONE_WITHIN:
                                break
                        network.reject = b""
                        async with at(cluster[0], room, "Zoe"):
                            after = f"{late}; Redis answered a renewal of this process with OOM, and no later one"
                            await self._stays(host, room, "Zoe", failed, after, AFTER_FAILURE)
                            await self._goes(host, room, after)
                    lost = time.monotonic()
                    network.cut()
                    async with at(cluster[0], room, "Barbara"):
                        after = f"{late}; all connections of this process to Redis were reset, and new ones worked"
                        await self._stays(host, room, "Barbara", lost, after, AFTER_OUTAGE)
                        await self._goes(host, room, after)

    @staticmethod
    async def _leases_key(url: str) -> str:
        """Return the key of a sorted set with leases. An answer may store them in another way."""
        async with Redis.from_url(url, decode_responses=True) as redis:
            async for key in redis.scan_iter(_type="zset", count=1000):
                scores = [score for _, score in await redis.zrange(key, 0, -1, withscores=True)]
                if any(-3600 < score - time.time() < 3600 for score in scores):
                    return str(key)
        return ""

    @staticmethod
    async def _stays(host: Subject, room: str, name: str, since: float, after: str, likely: str) -> None:
        """Check that the list has this name in all answers of the grace period."""
        path = Members.list_path(room)
        while time.monotonic() < since + TTL / 2:
            answer = await host.get(path, likely=likely)
            passed = time.monotonic() - since
            names = answer.json()["names"] if answer.status_code == 200 else []
            # An answer that's later on a busy machine isn't judged, and neither is 503 while it subscribes again.
            if passed < TTL / 2 and answer.status_code != 503 and name not in names:
                got = f"status {answer.status_code}, {show(answer.text)}, {passed:.1f} s later"
                expect = f"{name} on the list for {TTL / 2:g} s"
                raise Failure(sent=f"GET {path}", after=after, got=got, expect=expect, likely=likely)
            await asyncio.sleep(0.05)

    @staticmethod
    async def _goes(host: Subject, room: str, after: str) -> None:
        """Wait until the list is empty."""
        path, end = Members.list_path(room), time.monotonic() + GONE_WITHIN
        async for _ in again():
            answer = await host.get(path, likely=NEVER_AGAIN)
            if answer.status_code == 404:
                return
            if time.monotonic() > end:
                got = f"GET {path} still answers {show(answer.text)} after {GONE_WITHIN + TTL / 2:g} s"
                raise Failure(after=after, got=got, expect="status 404", likely=NEVER_AGAIN)
