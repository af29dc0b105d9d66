"""Step 11, TODO 5: the guarantees during and after an outage of Redis."""

import asyncio
import itertools

from judge.cluster import NO_REDIS, Cluster, MemberLog, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject, again

from ..scale_out.every_process import EVERYWHERE, KEYS, UNJUDGED, are, said
from .leases import LEASE_RENEW_INTERVAL, LEASE_TTL, SHORT_LEASES
from .unavailable import BACK, UNAVAILABLE, gets_an_error, try_until_acknowledged

STAYS = "the tasks that renew the lease and send the names go on after BrokerUnavailable and every error of Redis"
RISING = (
    "The empty Redis knows no ids, so yours start again or skip some. After each subscription, restore the largest id "
    "that this process knows, and pass it to PUBLISH too, because publish() may reach the empty Redis first."
)
NOT_RESTORED = (
    "Your process doesn't restore the last id of this room in the empty Redis, so it rejects a member that resumes "
    "with 403, which is fatal for its client. After each new subscription and before resync(), restore the ids of all "
    "rooms of which this process has published, received or read messages."
)


class Outages:
    @check(5, "continues with larger ids after Redis has recovered empty")
    async def test_empty(self, subject: Subject) -> None:
        room, left = Members.room(), Members.room("left")
        async with own_cluster(subject, 2) as cluster:
            async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                await say(ada, *(f"text {number}" for number in range(1, 21)))
                for log in (ada, grace):
                    await said(log, 20, after="Ada sent 20 messages", likely=EVERYWHERE)
                async with at(cluster[0], left, "Zoe") as zoe:
                    await say(zoe, *(f"text {number}" for number in range(1, 21)))
                    await said(zoe, 20, after="Zoe sent 20 messages in another room", likely=EVERYWHERE)
                await asyncio.to_thread(cluster.redis.kill)
                for log in (ada, grace):
                    request = {"type": "message", "text": "in the outage"}
                    await gets_an_error(log, request, after="Redis was killed, and then a message was sent")
                cluster.redis.forget()
                after = "Redis was killed and came back empty, message 20 was the last before"
                # Suspend the process that published the messages, so the one that only received them reconnects first.
                with cluster[0].suspended():
                    await asyncio.to_thread(cluster.redis.start)
                    await self._resumes(cluster[1], room, after)
                    other = "Redis was killed and recovered empty; a member had sent 20 messages at another process"
                    await self._resumes(cluster[1], left, other)
                    for number in (21, 22):
                        await self._goes_on(grace, number, after)
                late = (
                    f"{after}; Grace sent two more while Ada's process was held up, and nobody has sent anything since"
                )
                await ada.until(
                    lambda: len(ada.messages) >= 22, expect="both of them", likely=BACK, after=late, seconds=4
                )
                await self._goes_on(ada, 23, f"{late}, but Ada")
                for log in (ada, grace):
                    await log.until(
                        lambda log=log: len(log.messages) >= 23, expect="all new messages", likely=BACK, after=late
                    )
                    if log.ids != sorted(set(log.ids)):
                        raise Failure(after=late, got=str(log), expect="rising ids", likely=RISING)
                after += "; two more were sent at the one process, and then one at the other"
                await are(cluster, room, "Ada", "Grace", after=after, likely=BACK)
                last = ada.ids[-1]
                async with subject.another(BROKER=cluster.redis.url) as third:
                    async with at(third, room, "Linus", likely=RISING, after=5) as linus:
                        expect = f"a gap or messages for 6 to {last}: whatever is not told is counted"
                        after += f"; {last} was the last, and Linus came with after=5 to a new process"
                        await linus.until(
                            lambda: linus.ids and linus.ids[-1] == last, expect=expect, likely=RISING, after=after
                        )
                        if len(linus.messages) + sum(linus.gaps) != last - 5:
                            raise Failure(after=after, got=str(linus), expect=expect, likely=RISING)

    @staticmethod
    async def _resumes(host: Subject, room: str, after: str) -> None:
        """Check that a member can resume after the last id, before any message is sent to the empty Redis."""
        path = Members.path(room, "Linus", after="20")
        end = asyncio.get_running_loop().time() + 4
        async for _ in again():
            answer = await host.handshake(path)
            if not isinstance(answer, int):
                await answer.close()
                return
            # After 503, a client tries again.
            if answer != 503 or asyncio.get_running_loop().time() > end:
                got, expect = f"HTTP {answer}", "the handshake accepted"
                sent = "a handshake with after=20, before any message was sent again"
                raise Failure(sent=sent, after=after, got=got, expect=expect, likely=NOT_RESTORED)

    @staticmethod
    async def _goes_on(log: MemberLog, number: int, after: str) -> None:
        """Check that the next message gets an id above all earlier ones."""
        largest = max(log.ids)
        got = await try_until_acknowledged(log, f"text {number}", f"k{number}", after=after, likely=UNAVAILABLE)
        if got <= largest:
            got = f"an acknowledgement with the id {got}"
            raise Failure(after=after, got=got, expect=f"an id above {largest}", likely=RISING)

    @check(5, "loses and duplicates nothing while Redis is restarted under load" + UNJUDGED)
    async def test_restarted(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        room = Members.room()
        async with own_cluster(subject, 2, real=True) as cluster:
            async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                over = asyncio.Event()
                after = "Redis was killed and started again twice, while Ada and Grace sent and sent again with keys"
                talking = asyncio.gather(*(self._keep_talking(log, over, after) for log in (ada, grace)))
                try:
                    await asyncio.sleep(0.5)
                    await self._restart(cluster)
                    await asyncio.sleep(0.5)
                    # Suspend Grace's process: Ada's one continues, and Grace's one must read the missed messages.
                    with cluster[1].suspended():
                        await self._restart(cluster)
                        before = len(ada.acks)
                        while len(ada.acks) < before + 5 and not talking.done():
                            await asyncio.sleep(0.01)
                    await asyncio.sleep(0.6)
                    over.set()
                    acknowledged = [each for some in await talking for each in some]
                finally:
                    talking.cancel()
                    await asyncio.gather(talking, return_exceptions=True)
                total = len(acknowledged)
                for log in (ada, grace):
                    likely = f"{BACK}; and {KEYS}"
                    await said(log, total, after=after, likely=likely, seconds=2)
                    await log.settles(likely=likely)
                    heard = {each["id"]: each["text"] for each in log.messages}
                    if len(log.messages) != total or heard != dict(acknowledged):
                        expect = f"the {total} acknowledged messages, each once, under the acknowledged ids"
                        raise Failure(after=after, got=str(log), expect=expect, likely=likely)
                    if any(kind == "left" for kind, _ in log.notices):
                        got = show(log.notices)
                        likely = f"members are taken off the list although their processes are alive: {STAYS}"
                        raise Failure(after=after, got=got, expect="nobody left", likely=likely)

    @staticmethod
    async def _restart(cluster: Cluster) -> None:
        await asyncio.to_thread(cluster.redis.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(cluster.redis.start)

    @staticmethod
    async def _keep_talking(log: MemberLog, over: asyncio.Event, after: str) -> list[tuple[int, str]]:
        """Send one message after another until `over` is set, and return the ids and texts of the acknowledged ones."""
        acknowledged = []
        for number in itertools.count():
            if over.is_set():
                return acknowledged
            text = f"{id(log)} {number}"
            acknowledged.append((await try_until_acknowledged(log, text, text, after=after, likely=UNAVAILABLE), text))
            await asyncio.sleep(0.005)
        return acknowledged

    @check(5, "keeps all members on the list in an outage that's longer than a lease")
    async def test_long_outage(self, subject: Subject) -> None:
        room = Members.room()
        clock = asyncio.get_running_loop().time
        async with own_cluster(subject, 2, **SHORT_LEASES) as cluster:
            async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                await are(cluster, room, "Ada", "Grace", after="Ada and Grace came to two processes")
                await asyncio.to_thread(cluster.redis.kill)
                # Wait until every lease has expired.
                await asyncio.sleep(LEASE_TTL + 0.1)
                await asyncio.to_thread(cluster.redis.start)
                after = f"Redis was away for longer than LEASE_TTL, which is {LEASE_TTL} s, and is there again"
                await try_until_acknowledged(ada, "hello", "k", after=after, likely=BACK)
                await are(cluster, room, "Ada", "Grace", after=after, likely=STAYS)
                back = clock()
                async with (
                    subject.another(BROKER=cluster.redis.url, **SHORT_LEASES) as third,
                    at(third, room, "Linus") as linus,
                ):
                    after += "; then Linus came to a new process"
                    cluster.servers.append(third)
                    await are(cluster, room, "Ada", "Grace", "Linus", after=after, likely=STAYS)
                    # Wait longer than a lease: one that was renewed only once after the outage expires meanwhile.
                    await asyncio.sleep(back + LEASE_TTL + 1.5 * LEASE_RENEW_INTERVAL - clock())
                    await are(cluster, room, "Ada", "Grace", "Linus", after=after, likely=STAYS)
                    for log in (ada, grace, linus):
                        await log.settles(likely=STAYS)
