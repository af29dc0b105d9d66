"""Step 11, TODO 5: the guarantees during and after an outage of Redis."""

import asyncio
import contextlib
import itertools

from judge.cluster import NO_REDIS, Cluster, MemberLog, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject, again
from judge.tasks import running, together

from ..scale_out.every_process import EVERYWHERE, IN_REDIS, KEYS, UNJUDGED, are, said
from .leases import ENDED, LEASE_RENEW_INTERVAL, LEASE_TTL, SHORT_LEASES, watch_leases
from .starter import suspecting
from .unavailable import BACK, NOT_RESYNCED, UNAVAILABLE, gets_an_error, try_until_acknowledged

STAYS = (
    "Your processes treat members as gone although their processes are alive. After an outage, clear "
    "self.expired_processes, and accept expired processes again LEASE_TTL / 2 later; and go on with both tasks after "
    "BrokerUnavailable, so the lease is renewed again."
)
RISING = (
    "The empty Redis knows no ids, so yours start again or skip some. After each subscription, restore the largest id "
    "that this process knows, and pass it to PUBLISH too, because publish() may reach the empty Redis first."
)
PUBLISH_FIRST = (
    "Your publish() has reached the empty Redis before the subscription has noticed the restart, so the ids start "
    "again. Pass self.last_ids.get(room_id, 0) to PUBLISH, and raise KEYS[1] to it before INCR. Restore the ids of all "
    "rooms after each subscription too."
)
LOWERED = (
    "Your publish() passes an id that's too small: the ack of the repeated key k1 has its old id, and your code stored "
    "it as the largest one. Store max(message_id, self.last_ids.get(room_id, 0))."
)
NOT_RECEIVED = (
    "Your process has restored the last id of a room with a tab, and not of this one, of which it has only received "
    "messages. Store the largest id of each received message in self.last_ids, in _dispatch(), and restore all rooms "
    "of self.last_ids, also those without a tab."
)
NOT_RESTORED = (
    "Your process doesn't restore the last id of this room in the empty Redis, so it rejects a member that resumes "
    "with 403, which is fatal for its client. After each new subscription and before resync(), restore the ids of all "
    "rooms of which this process has published, received or read messages."
)
SMALLER = (
    "Your process doesn't raise an id that another process has restored before, and that's smaller than its own: the "
    "other process had missed the latest messages. Set the last id whenever it's smaller, compared as a number, and "
    "not only if there's none."
)
ONLY_READ = (
    "Your process doesn't restore the last id of a room that it has only read. Store the largest id in "
    "self.last_ids in read_history() too, as in publish() and _dispatch(), and restore all rooms of self.last_ids, "
    "also those without a tab."
)
MISSED_OR_TWICE = (
    "If messages are missing: after each subscription, await self.listener.resync(), which reads them from the stream. "
    "If one is there twice: store the key in the script that stores the message, and send no command twice."
)
QUIET = (
    "Your process doesn't notice that its subscription is lost, although its commands reach Redis. Send the ping on "
    "the subscription's own connection, await pubsub.ping(), and subscribe again if nothing arrives after that."
)
MISSED = (
    "Your process misses a message that's sent while it subscribes again. Either it resyncs first: await the "
    "confirmation of psubscribe(), and then resync(). Or redis-py subscribes again by itself, so your code doesn't "
    "resync: pass retry=Retry(NoBackoff(), 0)."
)


class Outages:
    @check(5, "continues with larger ids after Redis has recovered empty")
    async def test_empty(self, subject: Subject) -> None:
        room, left, read = Members.room(), Members.room("left"), Members.room("read")
        # A short interval, because a process needs two of them to notice that its subscription is lost.
        settings = {"LEASE_RENEW_INTERVAL": "0.5"}
        async with own_cluster(subject, 2, taps=1, **settings) as cluster:
            async with (
                at(cluster[0], room, "Ada") as ada,
                at(cluster[1], room, "Grace") as grace,
            ):
                await say(ada, "text 1", key="k1")
                await say(ada, *(f"text {number}" for number in range(2, 8)))
                for log in (ada, grace):
                    await said(log, 7, after="Ada sent 7 messages", likely=EVERYWHERE)
                await ada.until(lambda: "k1" in ada.acks, expect="the ack of k1", likely=KEYS, after="a key")
                del ada.acks["k1"]
                # The ack of a repeated key has an old id, so the largest id isn't the latest one.
                await say(ada, "text 1", key="k1")
                await ada.until(lambda: "k1" in ada.acks, expect="the ack of k1", likely=KEYS, after="a repeated key")
                for each in (left, read):
                    async with at(cluster[0], each, "Zoe") as zoe:
                        await say(zoe, *(f"text {number}" for number in range(1, 21)))
                        await said(zoe, 20, after="Zoe sent 20 messages in another room", likely=EVERYWHERE)
                async with subject.another(BROKER=cluster.redis.url, **settings) as third:
                    cluster.servers.append(third)
                    async with at(third, read, "Linus", after=0) as linus:
                        after = "Zoe sent 20 messages, then a process was started, and Linus joined there with after=0"
                        await said(linus, 20, after=after, likely=IN_REDIS)
                    missed = "resync() calls load_history() for each room with a tab, which reads what was missed"
                    with suspecting(subject, "manager.py", missed):
                        await self._unnoticed(cluster, room, ada, grace)
                    await self._behind(cluster, room, ada, grace)
                    await self._emptied_again(cluster, room, (left, read), ada, grace)

    async def _unnoticed(self, cluster: Cluster, room: str, ada: MemberLog, grace: MemberLog) -> None:
        """Empty Redis, and let a process publish that hasn't lost its subscription yet."""
        (tap,) = cluster.taps
        after = (
            "Redis was killed and recovered empty, after message 7; Ada's process reached it before it noticed that "
            "its subscription was lost, and before all other processes"
        )
        with cluster[1].suspended(), cluster[2].suspended():
            tap.keeps_subscriptions = True
            await asyncio.to_thread(cluster.redis.kill)
            request = {"type": "message", "text": "in the outage"}
            await gets_an_error(ada, request, after="Redis was killed, and then a message was sent")
            cluster.redis.forget()
            await asyncio.to_thread(cluster.redis.start)
            await self._goes_on(ada, 8, after, likely=PUBLISH_FIRST, repeated=ada.acks["k1"])
        expect = "message 8, which Ada sent"
        tap.keeps_subscriptions = False
        tap.cut()
        for log in (ada, grace):
            await log.until(lambda log=log: len(log.messages) > 7, expect=expect, likely=BACK, after=after, seconds=6)
            if log.ids[7:] != [log.ids[7]] or log.ids != sorted(log.ids):
                raise Failure(after=after, got=str(log), expect=expect, likely=PUBLISH_FIRST)
        await are(cluster, room, "Ada", "Grace", after=after, likely=STAYS)
        tap.silence()
        after = "only the subscription of Ada's process no longer delivered anything, without a close"
        await try_until_acknowledged(grace, "silence", "silence", after=after, likely=UNAVAILABLE)
        after += "; then Grace sent a message at another process"
        await ada.until(lambda: len(ada.messages) > 8, expect="Grace's message", likely=QUIET, after=after, seconds=6)

    async def _behind(self, cluster: Cluster, room: str, ada: MemberLog, grace: MemberLog) -> None:
        """Empty Redis, and let the process reconnect first that has missed the latest messages."""
        (tap,) = cluster.taps
        missed = "three messages that Ada's process didn't receive"
        tap.holds_subscriptions = True
        tap.silence()
        for number in range(1, 4):
            await try_until_acknowledged(grace, f"missed {number}", f"m{number}", after=missed, likely=UNAVAILABLE)
        largest = max(grace.ids[-1], *grace.acks.values())
        after = (
            f"Grace sent {missed}, the last one with the id {largest}; Redis was killed and recovered empty, and "
            "Ada's process reconnected first"
        )
        with cluster[1].suspended(), cluster[2].suspended():
            await asyncio.to_thread(cluster.redis.kill)
            cluster.redis.forget()
            await asyncio.to_thread(cluster.redis.start)
            tap.holds_subscriptions = False
            await self._resumes(cluster[0], room, ada.ids[-1], after)
        # Grace's process gets this notice when it has subscribed again: it has restored its ids by then.
        async with at(cluster[0], room, "Barbara"):
            await grace.until(
                lambda: ("joined", "Barbara") in grace.notices,
                expect="joined Barbara",
                likely=BACK,
                after=f"{after}; then Barbara joined there",
                seconds=6,
            )
        await self._resumes(cluster[1], room, largest, f"{after}, and then Grace's", likely=SMALLER)
        got = await try_until_acknowledged(ada, "above", "above", after=after, likely=UNAVAILABLE)
        if got <= largest:
            got = f"an ack with the id {got}"
            raise Failure(after=after, got=got, expect=f"an id above {largest}", likely=SMALLER)
        for log in (ada, grace):
            expect = f"message {got}, which Ada sent"
            await log.until(lambda log=log: log.ids[-1] == got, expect=expect, likely=SMALLER, after=after, seconds=4)

    async def _emptied_again(
        self, cluster: Cluster, room: str, others: tuple[str, str], ada: MemberLog, grace: MemberLog
    ) -> None:
        """Empty Redis a second time, and let the processes reconnect one after another."""
        first, (left, read) = ada.ids[-1], others
        await asyncio.to_thread(cluster.redis.kill)
        for log in (ada, grace):
            request = {"type": "message", "text": "in the outage"}
            await gets_an_error(log, request, after="Redis was killed, and then a message was sent")
        cluster.redis.forget()
        after = f"Redis was killed and recovered empty a second time, after message {first}"
        # Suspend the process that published the messages, so the one that only received them reconnects first.
        with cluster[0].suspended():
            with cluster[1].suspended():
                await asyncio.to_thread(cluster.redis.start)
                only_read = (
                    "Redis was killed and recovered empty; this process had only read the room's 20 messages, for a "
                    "member that left again"
                )
                await self._resumes(cluster[2], read, 20, only_read, likely=ONLY_READ)
                async with at(cluster[2], read, "Linus", likely=NOT_RESYNCED) as linus:
                    sent = await try_until_acknowledged(linus, "here", "k", after=only_read, likely=UNAVAILABLE)
                    if sent <= 20:
                        got = f"an ack with the id {sent}"
                        raise Failure(after=only_read, got=got, expect="an id above 20", likely=ONLY_READ)
            await self._resumes(cluster[1], room, first, after)
            other = "Redis was killed and recovered empty; a member had sent 20 messages at another process"
            await self._resumes(cluster[1], left, 20, other, likely=NOT_RECEIVED)
            for number in (22, 23):
                await self._goes_on(grace, number, after)
        late = f"{after}; Grace sent two messages while Ada's process was suspended, and nothing was sent since"
        newest = grace.ids[-1]
        await ada.until(
            lambda: ada.ids[-1] >= newest,
            expect="both messages of Grace",
            likely=BACK,
            after=late,
            seconds=4,
        )
        await self._goes_on(ada, 24, f"{late}, except by Ada")
        for log in (ada, grace):
            await log.until(lambda log=log: log.ids[-1] > newest, expect="all new messages", likely=BACK, after=late)
            if log.ids != sorted(set(log.ids)):
                raise Failure(after=late, got=str(log), expect="increasing ids", likely=RISING)
        after += "; Grace sent two messages at one process, and then Ada sent one at another process"
        await are(cluster, room, "Ada", "Grace", after=after, likely=STAYS)
        last = ada.ids[-1]
        async with at(cluster[2], room, "Linus", likely=RISING, after=5) as linus:
            expect = f"messages for the ids 6 to {last}, or a gap that counts the missing ones"
            after += f"; {last} was the last id, and Linus joined with after=5 at a third process"
            await linus.until(lambda: linus.ids and linus.ids[-1] == last, expect=expect, likely=RISING, after=after)
            if len(linus.messages) + sum(linus.gaps) != last - 5:
                raise Failure(after=after, got=str(linus), expect=expect, likely=RISING)

    @staticmethod
    async def _resumes(host: Subject, room: str, last: int, after: str, *, likely: str = NOT_RESTORED) -> None:
        """Check that a member can resume after the last id, before any message is sent to the empty Redis."""
        path = Members.path(room, "Linus", after=str(last))
        end = asyncio.get_running_loop().time() + 4
        async for _ in again():
            answer = await host.handshake(path)
            if not isinstance(answer, int):
                await answer.close()
                return
            # After 503, a client tries again.
            if answer != 503 or asyncio.get_running_loop().time() > end:
                got, expect = f"HTTP {answer}", "the handshake accepted"
                sent = f"a handshake with after={last}, before any message was sent again"
                cause = likely if answer == 403 else NOT_RESYNCED
                raise Failure(sent=sent, after=after, got=got, expect=expect, likely=cause)

    @staticmethod
    async def _goes_on(
        log: MemberLog, number: int, after: str, *, likely: str = RISING, repeated: int | None = None
    ) -> None:
        """Check that the next message gets an id above all earlier ones.

        Args:
            log: the log of the sender's tab.
            number: the number in its text.
            after: the preceding events, for the message of a failure.
            likely: the likely cause if the id isn't larger.
            repeated: the id of the last ack, if its key was repeated.
        """
        largest = max(log.ids)
        got = await try_until_acknowledged(log, f"text {number}", f"k{number}", after=after, likely=UNAVAILABLE)
        if got <= largest:
            if repeated is not None and got == repeated + 1:
                likely, after = LOWERED, f"Ada sent 7 messages, and k1, the key of message {repeated}, again; {after}"
            got = f"an ack with the id {got}"
            raise Failure(after=after, got=got, expect=f"an id above {largest}", likely=likely)

    @check(5, "loses and duplicates nothing while Redis is restarted under load" + UNJUDGED)
    async def test_restarted(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        room = Members.room()
        async with own_cluster(subject, 2, real=True, taps=1) as cluster:
            async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                over = asyncio.Event()
                first = await self._while_subscribing(cluster, ada, grace)
                after = "Redis was killed and started again twice, while Ada and Grace sent messages with keys"
                both = together(*(self._keep_talking(log, over, after) for log in (ada, grace)))
                async with running(both) as (talking,):
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
                    acknowledged = [first, *(each for some in await talking for each in some)]
                total = len(acknowledged)
                for log in (ada, grace):
                    after += f"; {total} messages were acknowledged"
                    await said(log, total, after=after, likely=MISSED_OR_TWICE, seconds=2)
                    await log.settles(likely=MISSED_OR_TWICE)
                    heard = {each["id"]: each["text"] for each in log.messages}
                    if len(log.messages) != total or heard != dict(acknowledged):
                        expect = f"the {total} acknowledged messages, each once, under the acknowledged ids"
                        raise Failure(after=after, got=str(log), expect=expect, likely=MISSED_OR_TWICE)
                    if any(kind == "left" for kind, _ in log.notices):
                        got = f"the notices {show(log.notices)}"
                        raise Failure(after=after, got=got, expect="no notice that a member left", likely=STAYS)

    @staticmethod
    async def _while_subscribing(cluster: Cluster, ada: MemberLog, grace: MemberLog) -> tuple[int, str]:
        """Let Ada's process subscribe again, and send a message while Redis hasn't got that command yet.

        Returns:
            The id and the text of the message.
        """
        (tap,) = cluster.taps
        text = "while Ada's process subscribes"
        after = (
            "the connections of Ada's process to Redis were reset; Grace sent a message when that process had sent "
            "PSUBSCRIBE, and before Redis got it"
        )
        # An answer may receive its events without a subscription.
        if before := tap.subscribing:
            tap.holds_subscriptions = True
            tap.cut()
            with contextlib.suppress(TimeoutError):
                # A PubSub of redis-py subscribes again by itself before it raises the error, and the answer after that.
                async with asyncio.timeout(1):
                    async for _ in again():
                        if tap.subscribing >= before + 2:
                            break
        number = await try_until_acknowledged(grace, text, text, after=after, likely=UNAVAILABLE)
        tap.holds_subscriptions = False
        for log in (grace, ada):
            likely = MISSED if before else EVERYWHERE
            await said(log, 1, after=after, likely=likely, seconds=4)
        return number, text

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
        async with own_cluster(subject, 2, **SHORT_LEASES) as cluster:
            async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                await are(cluster, room, "Ada", "Grace", after="Ada and Grace joined at two processes")
                await asyncio.to_thread(cluster.redis.kill)
                # Wait until every lease has expired.
                await asyncio.sleep(LEASE_TTL + 0.1)
                await asyncio.to_thread(cluster.redis.start)
                after = f"Redis was down for longer than LEASE_TTL, which is {LEASE_TTL} s, and is available again"
                await try_until_acknowledged(ada, "hello", "k", after=after, likely=UNAVAILABLE)
                await are(cluster, room, "Ada", "Grace", after=after, likely=STAYS)
                # Watch for longer than a lease: one that was renewed only once after the outage expires meanwhile.
                watched = watch_leases(cluster, LEASE_TTL + LEASE_RENEW_INTERVAL, processes=2, after=after)
                async with (
                    running(watched) as (watching,),
                    subject.another(BROKER=cluster.redis.url, **SHORT_LEASES) as third,
                    at(third, room, "Linus") as linus,
                ):
                    after += "; then Linus joined at a new process"
                    cluster.servers.append(third)
                    await are(cluster, room, "Ada", "Grace", "Linus", after=after, likely=STAYS)
                    await watching
                    await are(cluster, room, "Ada", "Grace", "Linus", after=after, likely=ENDED)
                    for log in (ada, grace, linus):
                        await log.settles(likely=ENDED)
                        if any(kind == "left" for kind, _ in log.notices):
                            got = f"the notices {show(log.notices)}"
                            raise Failure(after=after, got=got, expect="no notice that a member left", likely=STAYS)
