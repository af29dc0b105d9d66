"""Step 09, TODO 5: outages of Redis, and what holds during and after them."""

import asyncio
import itertools
from typing import Any

from judge.hosts import NO_REDIS, Ear, Hosts, at, own_hosts, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

from .every_process import EVERYWHERE, KEYS, LEASE_RENEW_INTERVAL, LEASE_TTL, SHORT_LEASES, UNJUDGED, are, said

AWAY = "while Redis is away, publish() and send() raise Away, so that the sender gets an error"
BACK = "when the connection is lost, subscribe again, and then read from the stream what was missed"
NOT_RESUMED = f"{BACK}; resume() itself asks, so say before it that Redis is there"
STAYS = "the task that renews the lease, and tells who is here, goes on after Away and after every error of Redis"
RISING = "a Redis that came back empty knows no ids: tell it the largest that this process has seen, before it is used"


async def try_until_acknowledged(
    ear: Ear, text: str, key: str, *, after: str, likely: str, refused: str = NOT_RESUMED
) -> int:
    """Send a message with its key again and again, as a client does that has got an error; its id.

    Args:
        ear: of the sender.
        text: of the message.
        key: of the message.
        after: what had happened.
        likely: the mistake, if nothing comes.
        refused: the mistake, if every answer is an error.

    Raises:
        Failure: nothing comes, or no acknowledgement for a long time.
    """
    expect = f"an acknowledgement of the key {key}, or an error"
    end = asyncio.get_running_loop().time() + 10
    while asyncio.get_running_loop().time() < end:
        errors = len(ear.errors)
        await say(ear, text, key=key)

        def answered(errors: int = errors) -> bool:
            return key in ear.acks or len(ear.errors) > errors

        await ear.until(answered, expect=expect, likely=likely, after=after, seconds=4)
        if key in ear.acks:
            return ear.acks[key]
        await asyncio.sleep(0.05)
    got = "an error for every try, for 10 s"
    raise Failure(after=after, got=got, expect=expect, likely=refused)


async def gets_an_error(ear: Ear, request: dict[str, Any], *, after: str, likely: str = AWAY) -> None:
    """Send this during an outage. It's answered with an error, which has the key if there is one, to send it again.

    Raises:
        Failure: it's answered in another way, or not.
    """
    key = request.get("key", "")
    wanted = {"key": key, "retry": True} if key else {}
    expect = f"{show({'type': 'error', 'detail': '...'} | wanted)} and the connection still open"
    before = len(ear.errors)
    await ear.tab.send(request)
    await ear.until(
        lambda: len(ear.errors) > before or key in ear.acks, expect=expect, likely=likely, after=after, seconds=4
    )
    if key in ear.acks:
        likely = "Your publish() returns an id, although Redis doesn't have the message. Raise Away instead."
        raise Failure(after=after, got=f"an ack with the id {ear.acks[key]}", expect=expect, likely=likely)
    error = {name: value for name, value in ear.errors[-1].items() if name in ("key", "retry")}
    if error != wanted:
        likely = (
            "Your code answers Away with another error than chat.py does. With a key, the error has the key, and "
            "retry is true, so that the client sends the message again; without one, it has neither."
        )
        raise Failure(after=after, got=show(ear.errors[-1]), expect=expect, likely=likely)


class Outages:
    @check(5, "says so while Redis is away, and goes on when it is back empty, with larger ids")
    async def test_empty(self, subject: Subject) -> None:
        room = Members.room()
        async with own_hosts(subject, 2) as hosts:
            async with at(hosts[0], room, "Ada") as ada, at(hosts[1], room, "Grace") as grace:
                await say(ada, *(f"text {number}" for number in range(1, 21)))
                for ear in (ada, grace):
                    await said(ear, 20, after="Ada sent 20 messages", likely=EVERYWHERE)
                await asyncio.to_thread(hosts.redis.kill)
                for ear, kind, more in (
                    (ada, "message", {}),
                    (grace, "direct", {}),
                    (grace, "message", {}),
                    (grace, "message", {"key": "while away"}),
                ):
                    request = {"type": kind, "to": "Ada", "text": "anybody there?"} | more
                    await gets_an_error(ear, request, after=f"Redis was killed, and then a {kind} was sent")
                for host in hosts.servers:
                    await self._refuses_for_now(host, room)
                hosts.redis.forget()
                after = "Redis was killed and came back empty, message 20 was the last before"
                # The process that knows of messages only because it heard them is back first, and the other one late.
                with hosts[0].held_up():
                    await asyncio.to_thread(hosts.redis.start)
                    for number in (21, 22):
                        await self._goes_on(grace, number, after)
                late = (
                    f"{after}; Grace sent two more while Ada's process was held up, and nobody has sent anything since"
                )
                await ada.until(
                    lambda: len(ada.messages) >= 22, expect="both of them", likely=BACK, after=late, seconds=4
                )
                await self._goes_on(ada, 23, f"{late}, but Ada")
                for ear in (ada, grace):
                    await ear.until(
                        lambda ear=ear: len(ear.messages) >= 23, expect="all new messages", likely=BACK, after=late
                    )
                    if ear.ids != sorted(set(ear.ids)):
                        raise Failure(after=late, got=str(ear), expect="rising ids", likely=RISING)
                after += "; two more were sent at the one process, and then one at the other"
                await are(hosts, room, "Ada", "Grace", after=after, likely=BACK)
                last = ada.ids[-1]
                async with subject.another(BROKER=hosts.redis.url) as third:
                    async with at(third, room, "Linus", likely=RISING, after=5) as linus:
                        expect = f"a gap or messages for 6 to {last}: whatever is not told is counted"
                        after += f"; {last} was the last, and Linus came with after=5 to a new process"
                        await linus.until(
                            lambda: linus.ids and linus.ids[-1] == last, expect=expect, likely=RISING, after=after
                        )
                        if len(linus.messages) + sum(linus.gaps) != last - 5:
                            raise Failure(after=after, got=str(linus), expect=expect, likely=RISING)

    @staticmethod
    async def _goes_on(ear: Ear, number: int, after: str) -> None:
        """A message gets an id above those that were given before."""
        largest = max(ear.ids)
        got = await try_until_acknowledged(ear, f"text {number}", f"k{number}", after=after, likely=AWAY)
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
            likely = "read() and present() raise Away too while Redis is away: an empty room would be a lie"
            sent = "a handshake, while Redis was away"
            raise Failure(sent=sent, got=got, expect="HTTP 503, so that a client tries again later", likely=likely)

    @check(5, "loses and doubles nothing while Redis is restarted under load" + UNJUDGED)
    async def test_restarted(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        room = Members.room()
        async with own_hosts(subject, 2, real=True) as hosts:
            async with at(hosts[0], room, "Ada") as ada, at(hosts[1], room, "Grace") as grace:
                over = asyncio.Event()
                after = "Redis was killed and started again twice, while Ada and Grace sent and sent again with keys"
                talking = asyncio.gather(*(self._keep_talking(ear, over, after) for ear in (ada, grace)))
                try:
                    await asyncio.sleep(0.5)
                    await self._restart(hosts)
                    await asyncio.sleep(0.5)
                    # Ada's process is back first, and goes on: what Grace's one does not hear, it has to read.
                    with hosts[1].held_up():
                        await self._restart(hosts)
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
                for ear in (ada, grace):
                    likely = f"{BACK}; and {KEYS}"
                    await said(ear, total, after=after, likely=likely, seconds=2)
                    await ear.settles(likely=likely)
                    heard = {each["id"]: each["text"] for each in ear.messages}
                    if len(ear.messages) != total or heard != dict(acknowledged):
                        expect = f"the {total} acknowledged messages, each once, under the acknowledged ids"
                        raise Failure(after=after, got=str(ear), expect=expect, likely=likely)
                    if any(kind == "left" for kind, _ in ear.notices):
                        got = show(ear.notices)
                        likely = f"members are taken off the list although their processes are alive: {STAYS}"
                        raise Failure(after=after, got=got, expect="nobody left", likely=likely)

    @staticmethod
    async def _restart(hosts: Hosts) -> None:
        await asyncio.to_thread(hosts.redis.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(hosts.redis.start)

    @staticmethod
    async def _keep_talking(ear: Ear, over: asyncio.Event, after: str) -> list[tuple[int, str]]:
        """Say one thing after another; what was acknowledged, with its ids."""
        acknowledged = []
        for number in itertools.count():
            if over.is_set():
                return acknowledged
            text = f"{id(ear)} {number}"
            acknowledged.append((await try_until_acknowledged(ear, text, text, after=after, likely=AWAY), text))
            await asyncio.sleep(0.005)
        return acknowledged

    @check(5, "has everybody on the list after Redis was away for longer than a lease")
    async def test_long_outage(self, subject: Subject) -> None:
        room = Members.room()
        clock = asyncio.get_running_loop().time
        async with own_hosts(subject, 2, **SHORT_LEASES) as hosts:
            async with at(hosts[0], room, "Ada") as ada, at(hosts[1], room, "Grace") as grace:
                await are(hosts, room, "Ada", "Grace", after="Ada and Grace came to two processes")
                await asyncio.to_thread(hosts.redis.kill)
                # Every lease expires.
                await asyncio.sleep(LEASE_TTL + 0.1)
                await asyncio.to_thread(hosts.redis.start)
                after = f"Redis was away for longer than LEASE_TTL, which is {LEASE_TTL} s, and is there again"
                await try_until_acknowledged(ada, "hello", "k", after=after, likely=BACK)
                await are(hosts, room, "Ada", "Grace", after=after, likely=STAYS)
                back = clock()
                async with (
                    subject.another(BROKER=hosts.redis.url, **SHORT_LEASES) as third,
                    at(third, room, "Linus") as linus,
                ):
                    after += "; then Linus came to a new process"
                    hosts.servers.append(third)
                    await are(hosts, room, "Ada", "Grace", "Linus", after=after, likely=STAYS)
                    # A lease that was renewed at the end of the outage and not again expires, and the others notice it.
                    await asyncio.sleep(back + LEASE_TTL + 1.5 * LEASE_RENEW_INTERVAL - clock())
                    await are(hosts, room, "Ada", "Grace", "Linus", after=after, likely=STAYS)
                    for ear in (ada, grace, linus):
                        await ear.settles(likely=STAYS)
