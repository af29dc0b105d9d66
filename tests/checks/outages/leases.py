"""Step 11, TODO 3: the members of a process that was killed, whose lease expires."""

import asyncio

from judge.cluster import at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

from ..scale_out.every_process import EVERYWHERE, IN_REDIS, are, said

LEASE_TTL, LEASE_RENEW_INTERVAL = 2, 0.4
"""The settings in seconds for checks that wait until a lease expires. No other check uses their servers, because a busy
machine may delay a renewal."""
SHORT_LEASES = {"LEASE_TTL": str(LEASE_TTL), "LEASE_RENEW_INTERVAL": str(LEASE_RENEW_INTERVAL)}
GONE_WITHIN = 10 / 6 * LEASE_TTL
"""The limit in seconds for the members of a killed process to be off the list: 10 for a lease of 6, and in proportion.
It's less than the rest of a lease of 6 that is 1.5 old, so an answer that hardcodes the defaults is late."""
LEASE = "each process renews a lease; when it has run out, the others take the names of that process off the list"
EVERY_ROOM = (
    "Your code removes the names of an expired process only from rooms that have a member at a process that's alive. "
    "In get_presence(), remove the names of expired processes before you return the list."
)
LATE = (
    f"{LEASE}. Do that regularly, also in a room that no member joins or leaves: await refresh_presence() in a task. "
    "If that works, but takes longer: your code has its own seconds. Take LEASE_TTL and LEASE_RENEW_INTERVAL from "
    "settings.py, because this check sets shorter ones"
)


class Leases:
    @check(3, "removes the members of a killed process from the list, and only those")
    async def test_killed(self, subject: Subject) -> None:
        room, alone = Members.room(), Members.room("alone")
        async with (
            own_cluster(subject, 2, **SHORT_LEASES) as cluster,
            at(cluster[1], room, "Grace") as grace,
            at(cluster[0], room, "Ada") as ada,
        ):
            await say(ada, "one", "two")
            await said(grace, 2, after="Ada sent two messages", likely=EVERYWHERE)
            async with subject.another(BROKER=cluster.redis.url, **SHORT_LEASES) as third:
                async with (
                    at(third, room, "Linus", likely=IN_REDIS, after=0) as linus,
                    at(third, room, "Ada"),
                    at(third, alone, "Linus"),
                ):
                    after = "two messages were sent, then another process was started, and Linus came to it"
                    try:
                        await said(linus, 2, after=after, likely=IN_REDIS)
                    except Failure as failure:
                        failure.number = 1  # Report TODO 1: the history is missing, not the presence.
                        raise
                    after = "Linus and a tab of Ada came to a further process"
                    await are(cluster, room, "Ada", "Grace", "Linus", after=after)
                    await asyncio.to_thread(third.server.kill)
                    after = (
                        "the process of Linus was killed, which had a tab of Ada too; "
                        f"LEASE_TTL is {LEASE_TTL} and LEASE_RENEW_INTERVAL is {LEASE_RENEW_INTERVAL}"
                    )
                    await grace.until(
                        lambda: ("left", "Linus") in grace.notices,
                        expect=f"left Linus, within {GONE_WITHIN:.1f} s (10 s with the defaults)",
                        likely=LATE,
                        after=after,
                        seconds=GONE_WITHIN,
                    )
            await are(cluster, room, "Ada", "Grace", after=after, likely=LEASE)
            empty = f"{after}; Linus was the only member of another room"
            await are(cluster, alone, after=empty, likely=EVERY_ROOM)
            await say(ada, "three")
            for log in (ada, grace):
                await said(log, 3, after=after, likely=LEASE)
            told = [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus")]
            if grace.notices != told:
                likely = f"{LEASE}, and no other"
                raise Failure(after=after, got=show(grace.notices), expect=show(told), likely=likely)
