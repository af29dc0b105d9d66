"""Step 09, TODO 5: the guarantees during and after an outage of Redis."""

import asyncio
import itertools
from typing import Any

from judge.cluster import NO_REDIS, Cluster, MemberLog, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

from .every_process import EVERYWHERE, KEYS, LEASE_RENEW_INTERVAL, LEASE_TTL, SHORT_LEASES, UNJUDGED, are, said

UNAVAILABLE = (
    "while Redis is away, publish() and publish_transient() raise BrokerUnavailable, so that the sender gets an error"
)
BACK = "when the connection is lost, subscribe again, and then read from the stream what was missed"
NOT_RESYNCED = f"{BACK}; resync() itself asks, so say before it that Redis is there"
STAYS = "the tasks that renew the lease and send the names go on after BrokerUnavailable and every error of Redis"
RISING = "a Redis that came back empty knows no ids: tell it the largest that this process has seen, before it is used"


async def try_until_acknowledged(
    log: MemberLog, text: str, key: str, *, after: str, likely: str, refused: str = NOT_RESYNCED
) -> int:
    """Send a message repeatedly with the same key, as a client does after an error, until it's acknowledged.

    Args:
        log: the log of the sender's tab.
        text: the text of the message.
        key: the key of the message.
        after: the preceding events, for the message of a failure.
        likely: the likely cause if no answer arrives.
        refused: the likely cause if every answer is an error.

    Returns:
        The id from the acknowledgement.

    Raises:
        Failure: an attempt gets no answer within 4 s, or none is acknowledged within 10 s.
    """
    expect = f"an acknowledgement of the key {key}, or an error"
    end = asyncio.get_running_loop().time() + 10
    while asyncio.get_running_loop().time() < end:
        errors = len(log.errors)
        await say(log, text, key=key)

        def answered(errors: int = errors) -> bool:
            return key in log.acks or len(log.errors) > errors

        await log.until(answered, expect=expect, likely=likely, after=after, seconds=4)
        if key in log.acks:
            return log.acks[key]
        await asyncio.sleep(0.05)
    got = "an error for every try, for 10 s"
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


class Outages:
    @check(5, "says so while Redis is away, and goes on when it is back empty, with larger ids")
    async def test_empty(self, subject: Subject) -> None:
        room = Members.room()
        async with own_cluster(subject, 2) as cluster:
            async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                await say(ada, *(f"text {number}" for number in range(1, 21)))
                for log in (ada, grace):
                    await said(log, 20, after="Ada sent 20 messages", likely=EVERYWHERE)
                await asyncio.to_thread(cluster.redis.kill)
                for log, kind, more in (
                    (ada, "message", {}),
                    (grace, "direct", {}),
                    (grace, "message", {}),
                    (grace, "message", {"key": "while away"}),
                ):
                    request = {"type": kind, "to": "Ada", "text": "anybody there?"} | more
                    await gets_an_error(log, request, after=f"Redis was killed, and then a {kind} was sent")
                for host in cluster.servers:
                    await self._refuses_for_now(host, room)
                cluster.redis.forget()
                after = "Redis was killed and came back empty, message 20 was the last before"
                # Suspend the process that published the messages, so the one that only received them reconnects first.
                with cluster[0].suspended():
                    await asyncio.to_thread(cluster.redis.start)
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
    async def _goes_on(log: MemberLog, number: int, after: str) -> None:
        """Check that the next message gets an id above all earlier ones."""
        largest = max(log.ids)
        got = await try_until_acknowledged(log, f"text {number}", f"k{number}", after=after, likely=UNAVAILABLE)
        if got <= largest:
            got = f"an acknowledgement with the id {got}"
            raise Failure(after=after, got=got, expect=f"an id above {largest}", likely=RISING)

    @staticmethod
    async def _refuses_for_now(host: Subject, room: str) -> None:
        answer = await host.handshake(Members.path(room, "Linus"))
        if answer != 503:
            if not isinstance(answer, int):
                await answer.close()
            got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
            likely = "read_history() and update_presence() raise BrokerUnavailable too: an empty room would be a lie"
            sent = "a handshake, while Redis was away"
            raise Failure(sent=sent, got=got, expect="HTTP 503, so that a client tries again later", likely=likely)

    @check(5, "loses and doubles nothing while Redis is restarted under load" + UNJUDGED)
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

    @check(5, "has everybody on the list after Redis was away for longer than a lease")
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
