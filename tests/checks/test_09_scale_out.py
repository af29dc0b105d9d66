"""Step 09: the checks of the exercise."""

import asyncio
import contextlib
import itertools
import tempfile
from pathlib import Path

from judge.clients import show
from judge.hosts import NO_REDIS, PRESENCE, Ear, Hosts, at, own_hosts, say, separate_hosts, shared_hosts, shortened
from judge.members import Members, message
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import spawn
from redis.asyncio import Redis

KEPT = 100
LEASE_TTL, LEASE_RENEW_INTERVAL = 2, 0.4
"""Seconds, in the servers of the checks that wait until a lease expires. No other check has these servers, because a
busy machine may delay a renewal."""
SHORT_LEASES = {"LEASE_TTL": str(LEASE_TTL), "LEASE_RENEW_INTERVAL": str(LEASE_RENEW_INTERVAL)}
GONE_WITHIN = 10 / 6 * LEASE_TTL
"""Seconds until the members of a killed process are off the list: 10 for a lease of 6, and in proportion. This is less
than a lease of 6 that is 1.5 old, so an answer with the defaults in its code is late."""
UNJUDGED = " (not judged: there is no redis-server here)" * NO_REDIS
"""Behind the titles of checks that fakeredis cannot serve: it has no CLIENT LIST, and no file to start from again."""
EVERYWHERE = "publish to Redis, and let every process pass on what it hears from there, its own messages too"
ONE_ORDER = "the id and the publishing are one step in Redis, a script: else two processes overtake each other"
IN_REDIS = "the history is in a stream in Redis, and read() reads it: what a process has in memory, another has not"
TRIMMED = "what is said goes to a stream, by XADD with MAXLEN"
JOINING = "between the reading of the stream and the first message that is passed on, nothing may be lost or doubled"
LEASE = "each process renews a lease; when it has run out, the others take the names of that process off the list"
LATE = (
    f"{LEASE}. If that works, but takes longer: your code has its own seconds. Take LEASE_TTL and "
    "LEASE_RENEW_INTERVAL from settings.py, because this check sets shorter ones"
)
KEYS = "the keys are known in Redis, by room and sender, and are looked up in the same script that gives the id"
HASHED = f"{KEYS}; and hash() gives another number for the same string in each process"
AWAY = "while Redis is away, publish() and send() raise Away, so that the sender gets an error"
BACK = "when the connection is lost, subscribe again, and then read from the stream what was missed"
APART = "every key that holds something of a room has the room in its name: rooms know nothing of each other"
STAYS = "the task that renews the lease, and tells who is here, goes on after Away and after every error of Redis"
RISING = "a Redis that came back empty knows no ids: tell it the largest that this process has seen, before it is used"


async def said(ear: Ear, number: int, *, after: str, likely: str, seconds: float = 0) -> None:
    """The tab has heard messages 1 to `number`, each once, in order, without a gap.

    Raises:
        Failure: it has not.
    """
    expect = f"messages 1 to {number}, each once, in order"
    await ear.until(lambda: len(ear.messages) >= number, expect=expect, likely=likely, after=after, seconds=seconds)
    are_complete(ear, number, after=after, likely=likely)


def are_complete(ear: Ear, number: int, *, after: str, likely: str) -> None:
    """The tab has heard messages 1 to `number` by now, each once, in order, without a gap.

    Raises:
        Failure: it has not.
    """
    if ear.ids != list(range(1, number + 1)) or ear.gaps:
        expect = f"messages 1 to {number}, each once, in order"
        raise Failure(after=after, got=str(ear), expect=expect, likely=likely)


async def are(hosts: Hosts, room: str, *names: str, after: str, likely: str = PRESENCE) -> None:
    """Every server comes to answer with these names.

    Raises:
        Failure: one does not.
    """
    wanted = show({"names": sorted(names)}) if names else "status 404"
    for host in hosts.servers:
        path, got = Members.list_path(room), ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(host.patience):
                while got != wanted:
                    answer = await host.get(path, likely=likely)
                    got = show(answer.json()) if answer.status_code == 200 else f"status {answer.status_code}"
        if got != wanted:
            got = f"GET {path} still answers {got} after {host.patience:g} s"
            raise Failure(after=after, got=got, expect=f"at every process {wanted}", likely=likely)


async def try_until_acknowledged(ear: Ear, text: str, key: str, *, after: str, likely: str) -> int:
    """Send a message with its key again and again, as a client does that has got an error; its id.

    Raises:
        Failure: nothing comes, or no acknowledgement for a long time.
    """
    expect = f"an acknowledgement of the key {key}, or an error"
    end = asyncio.get_running_loop().time() + 10
    while asyncio.get_running_loop().time() < end:
        errors = ear.errors
        await say(ear, text, key=key)

        def answered(errors: int = errors) -> bool:
            return key in ear.acks or ear.errors > errors

        await ear.until(answered, expect=expect, likely=likely, after=after, seconds=4)
        if key in ear.acks:
            return ear.acks[key]
        await asyncio.sleep(0.05)
    got = "an error for every try, for 10 s"
    likely = f"{BACK}; resume() itself asks, so say before it that Redis is there"
    raise Failure(after=after, got=got, expect=expect, likely=likely)


class TestExercise:
    least_patience = 1.5
    """Seconds to wait for an answer in any case: side by side, the checks of this step keep twenty processes busy. A
    right answer that is late once is judged again check by check, which takes several times as long."""

    @check(1, "passes a message on at every process, once, in one order")
    async def test_everybody(self, subject: Subject) -> None:
        hosts = await shared_hosts(subject)
        room = Members.room("lobby:1 한글")
        names = ("Ada", "Grace", "Linus")
        after = "three members at three processes sent 20 messages each, all at once"
        async with contextlib.AsyncExitStack() as stack:
            zoe = await stack.enter_async_context(at(hosts[1], Members.room("elsewhere"), "Zoe"))
            await say(zoe, "nobody is here")
            await said(zoe, 1, after="Zoe sent the first message of another room", likely=APART)
            ears = [await stack.enter_async_context(at(host, room, n)) for host, n in zip(hosts, names, strict=False)]
            await say(ears[0], "first")
            for ear in ears:
                after_one = (
                    "Zoe sent a message in another room, and then Ada one here; the others are at other processes"
                )
                await ear.until(lambda ear=ear: ear.messages, expect="it", likely=EVERYWHERE, after=after_one)
                await said(ear, 1, after=after_one, likely=APART)
                if ear.messages != [message(1, "Ada", "first")]:
                    expect = show(message(1, "Ada", "first"))
                    raise Failure(sent='a message "first"', got=show(ear.messages), expect=expect, likely=EVERYWHERE)
            texts = [[f"{name} {number} <b>" for number in range(20)] for name in names]
            await asyncio.gather(*(say(ear, *some) for ear, some in zip(ears, texts, strict=True)))
            # One more, which comes after all others: then it's known at once whether one of them is missing.
            for ear in ears:
                await ear.settles(likely=ONE_ORDER)
            await say(ears[0], "last")
            after += ", and then Ada sent one more"
            for ear in ears:
                await ear.until(
                    lambda ear=ear: ear.messages[-1]["text"] == "last",
                    expect="the message that Ada sent last",
                    likely=ONE_ORDER,
                    after=after,
                )
                are_complete(ear, 62, after=after, likely=ONE_ORDER)
                if ear.messages != ears[0].messages:
                    got = "the same ids with other messages at two processes"
                    raise Failure(after=after, got=got, expect="one order for all", likely=ONE_ORDER)
                for name, some in zip(names, texts, strict=True):
                    if [each["text"] for each in ear.messages[1:-1] if each["from"] == name] != some:
                        got = f"the messages of {name} in another order, or changed"
                        raise Failure(after=after, got=got, expect="each sender's order", likely=ONE_ORDER)
            await zoe.settles(likely=APART)
            await said(zoe, 1, after=f"{after}, in another room than Zoe's", likely=APART)
        await are(hosts, room, after="all had left")
        async with at(hosts[1], room, "Grace") as grace:
            await say(grace, "next")
            after = "all had left after message 62, and Grace came back and sent a message"
            await grace.until(lambda: grace.messages, expect="message 63", likely=ONE_ORDER, after=after)
            if grace.ids != [63]:
                raise Failure(after=after, got=str(grace), expect="message 63", likely="ids are kept in Redis, by room")

    @check(1, "passes on a burst, and drops nobody who reads")
    async def test_burst(self, subject: Subject) -> None:
        hosts = await shared_hosts(subject)
        room = Members.room()
        # The kernel takes little for Grace, so that she is behind from time to time.
        async with at(hosts[0], room, "Ada") as ada, at(hosts[1], room, "Grace", narrow=True) as grace:
            await say(ada, *(f"text {number} {'x' * 4000}" for number in range(300)))
            for ear in (grace, ada):
                likely = "what is heard from Redis comes in bursts: let the members catch up in between"
                await said(ear, 300, after="Ada sent 300 messages of 4 KB in one go", likely=likely)

    @check(2, "listens with one connection for each process" + UNJUDGED)
    async def test_one_subscriber(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        hosts = await shared_hosts(subject)
        async with contextlib.AsyncExitStack() as stack:
            rooms = [Members.room(), Members.room()]
            for number in range(24):
                place = at(hosts[number % 3], rooms[number % 2], f"Ada {number}")
                await stack.enter_async_context(place)
            redis = Redis.from_url(hosts.redis.url, decode_responses=True)
            stack.push_async_callback(redis.aclose)
            likely = "a subscription for each member: let the process listen once, and pass on what it hears"
            listening = len(await redis.client_list(_type="pubsub"))
            after = "24 members came, to two rooms at three processes"
            # Other checks may have a further server at this Redis.
            most = len(hosts.servers) + 1
            if listening > most:
                got = f"{listening} connections in CLIENT LIST TYPE pubsub"
                raise Failure(after=after, got=got, expect=f"one a process, {most} at most", likely=likely)
            channels = await redis.pubsub_channels()
            for channel, count in await redis.pubsub_numsub(*channels) if channels else []:
                if count > most:
                    got = f"{count} subscriptions to {channel}, says PUBSUB NUMSUB"
                    raise Failure(after=after, got=got, expect=f"one a process, {most} at most", likely=likely)

    @check(3, "replays at another process than the one left")
    async def test_elsewhere(self, subject: Subject) -> None:
        hosts = await shared_hosts(subject)
        room = Members.room()
        async with (
            at(hosts[0], room, "Ada") as ada,
            at(hosts[0], Members.room("elsewhere"), "Zoe", after=0, likely=APART) as zoe,
        ):
            await say(zoe, "nobody is here")
            await said(zoe, 1, after="Zoe sent the first message of another room", likely=APART)
            await say(ada, *(f"text {number}" for number in range(1, 6)))
            await said(ada, 5, after="Ada sent 5 messages, and Zoe one in another room", likely=IN_REDIS)
            for host, last in itertools.product(hosts, (2, 0, 5)):
                after = f"a handshake with after={last} at another process than Ada's; 5 messages are there"
                async with at(host, room, "Grace", likely=IN_REDIS, after=last) as grace:
                    await grace.until(
                        lambda grace=grace, last=last: len(grace.messages) >= 5 - last,
                        expect=f"messages {last + 1} to 5" if last < 5 else "nothing",
                        likely=IN_REDIS,
                        after=after,
                    )
                    await grace.settles(likely=IN_REDIS)
                    wanted = [message(number, "Ada", f"text {number}") for number in range(last + 1, 6)]
                    if grace.messages != wanted or grace.gaps:
                        likely = APART if any(each["from"] == "Zoe" for each in grace.messages) else IN_REDIS
                        raise Failure(after=after, got=str(grace), expect=f"messages {last + 1} to 5", likely=likely)
            for host, bad in itertools.product(hosts, ("6", "-1", "x")):
                answer = await host.handshake(Members.path(room, "Grace", after=bad))
                if answer != 403:
                    if not isinstance(answer, int):
                        await answer.close()
                    got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
                    sent = f"a handshake with after={bad}, when the last id is 5"
                    likely = "as in step 08, what is no id of the room is refused before accept"
                    raise Failure(sent=sent, got=got, expect="HTTP 403", likely=likely)

    @check(3, "keeps the last 100 in a stream, and says how many are lost")
    async def test_trimmed(self, subject: Subject) -> None:
        hosts = await shared_hosts(subject)
        room = Members.room()
        async with at(hosts[0], room, "Ada") as ada:
            await say(ada, *(f"{room}: {number}" for number in range(1, 251)))
            await said(ada, 250, after="Ada sent 250 messages", likely=EVERYWHERE)
        for host, last in ((hosts[1], 10), (hosts[2], 149), (hosts[2], 150), (hosts[0], 151)):
            missed = max(250 - KEPT - last, 0)
            after = f"250 messages were sent, all had left, and Grace came with after={last}"
            likely = "XADD with MAXLEN 100, exactly; and what after= asks for and the stream has not is told as a gap"
            async with at(host, room, "Grace", likely=IN_REDIS, after=last) as grace:
                wanted = list(range(last + missed + 1, 251))
                expect = f"a gap of {missed} and then " * bool(missed) + f"messages {wanted[0]} to 250"
                await grace.until(
                    lambda grace=grace, wanted=wanted: len(grace.messages) >= len(wanted),
                    expect=expect,
                    likely=likely,
                    after=after,
                )
                if grace.ids != wanted or sum(grace.gaps) != missed:
                    raise Failure(after=after, got=str(grace), expect=expect, likely=likely)
        redis = Redis.from_url(hosts.redis.url, decode_responses=True)
        try:
            # Other streams may be there, for other purposes.
            streams = [await redis.xrange(key) async for key in redis.scan_iter(_type="stream", count=1000)]
        finally:
            await redis.aclose()
        lengths = [sum(f"{room}: " in str(entry) for entry in entries) for entries in streams]
        if not any(KEPT <= length <= 2 * KEPT for length in lengths):
            got = f"{max(lengths, default=0)} of them in a stream"
            raise Failure(after="250 messages in one room", got=got, expect="the last 100", likely=TRIMMED)

    @check(3, "loses and doubles nothing to who joins under load")
    async def test_under_load(self, subject: Subject) -> None:
        hosts = await shared_hosts(subject)
        room = Members.room()
        total = 90
        async with contextlib.AsyncExitStack() as stack:
            ada = await stack.enter_async_context(at(hosts[0], room, "Ada"))
            talking = spawn(self._talk(ada, total))
            stack.callback(talking.cancel)
            later = []
            while not talking.done():
                host = hosts[1 + len(later) % 2]
                path = at(host, room, f"Grace {len(later)}", likely=JOINING, after=0)
                later.append(await stack.enter_async_context(path))
                await asyncio.sleep(0.02)
            after = f"a handshake with after=0, while Ada was sending {total} messages at another process"
            for grace in later:
                await said(grace, total, after=after, likely=JOINING)

    @staticmethod
    async def _talk(ear: Ear, total: int) -> None:
        for number in range(total):
            await say(ear, f"text {number}")
            await asyncio.sleep(0.004)

    @check(4, "has one list of members for all processes, and one person for all tabs of a name")
    async def test_members(self, subject: Subject) -> None:
        hosts = await separate_hosts(subject)
        room = Members.room()
        async with at(hosts[0], Members.room("elsewhere"), "Zoe") as zoe, at(hosts[1], room, "Grace") as grace:
            async with at(hosts[0], room, "Ada") as first:
                if first.names != ["Ada", "Grace"]:
                    got = f"the list {show(first.names)}"
                    raise Failure(
                        after="Zoe came to another room, Grace came to one process and then Ada to another",
                        got=got,
                        expect='["Ada", "Grace"]',
                        likely=APART if "Zoe" in first.names else PRESENCE,
                    )
                await are(hosts, room, "Ada", "Grace", after="Grace came to one process and Ada to another")
                async with at(hosts[2], room, "Ada") as second:
                    if second.names != ["Ada", "Grace"]:
                        raise Failure(
                            after="a second tab of Ada came, to a third process",
                            got=f"the list {show(second.names)}",
                            expect='["Ada", "Grace"]',
                            likely=PRESENCE,
                        )
                    await say(second, "hello")
                    await said(grace, 1, after="Ada's second tab sent a message", likely=EVERYWHERE)
                await self._passed_by(hosts, room, "Linus", grace)
                after = "two tabs of Ada came to two processes, one left, and Linus came and left"
                await self._told(grace, [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus")], after)
                await are(hosts, room, "Ada", "Grace", after=after)
            after = "the last tab of Ada left"
            told = [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus"), ("left", "Ada")]
            await self._told(grace, told, after)
            await are(hosts, room, "Grace", after=after)
            await zoe.settles(likely=APART)
            if zoe.notices:
                raise Failure(
                    after=f"{after}, in another room than Zoe's", got=show(zoe.notices), expect="nothing", likely=APART
                )
        await are(hosts, room, after="all had left")

    @staticmethod
    async def _passed_by(hosts: Hosts, room: str, name: str, ear: Ear) -> None:
        """Somebody comes, is seen by `ear`, and leaves."""
        async with at(hosts[2], room, name):
            await ear.until(
                lambda: ("joined", name) in ear.notices,
                expect=f"joined {name}",
                likely=PRESENCE,
                after=f"{name} came to another process",
            )

    @staticmethod
    async def _told(ear: Ear, notices: list[tuple[str, str]], after: str) -> None:
        likely = "joined is told with the first tab of a name anywhere, left with the last one"
        expect = show(notices)
        await ear.until(lambda: len(ear.notices) >= len(notices), expect=expect, likely=likely, after=after)
        if ear.notices != notices:
            raise Failure(after=after, got=show(ear.notices), expect=expect, likely=likely)

    @check(4, "sends direct messages to other processes, and removes members there")
    async def test_direct_and_remove(self, subject: Subject) -> None:
        hosts = await shared_hosts(subject)
        room = Members.room()
        async with (
            at(hosts[1], room, "Grace") as grace,
            at(hosts[0], room, "Ada") as one,
            at(hosts[2], room, "Ada") as two,
        ):
            await grace.until(
                lambda: grace.notices, expect="joined Ada", likely=PRESENCE, after="Ada came to two other processes"
            )
            await grace.tab.send({"type": "direct", "to": "Ada", "text": "psst"})
            direct = {"type": "direct", "from": "Grace", "text": "psst"}
            for ear in (one, two):
                likely = "a direct message goes to all tabs of a name, at whichever process they are"
                after = "Grace sent Ada a direct message; Ada has tabs at two other processes"
                await ear.until(lambda ear=ear: ear.directs, expect=show(direct), likely=likely, after=after)
                if ear.directs != [direct]:
                    raise Failure(after=after, got=show(ear.directs), expect=show(direct), likely=likely)
            await grace.tab.send({"type": "direct", "to": "Linus", "text": "psst"})
            await grace.until(
                lambda: grace.errors, expect="an error", likely=PRESENCE, after="a direct message for somebody absent"
            )
            if grace.directs:
                raise Failure(after=after, got=show(grace.directs), expect="nothing for others", likely=likely)
            removed = "to remove a member, tell every process, and answer 204 when the name is off the list"
            after = "DELETE of Ada, at a process without a tab of Ada, was answered with 204"
            await Members(hosts[1]).remove(room, "Ada", likely=removed)
            for host in hosts:
                await Members(host).are(room, "Grace", after=after, likely=removed)
            for ear in (one, two):
                await ear.tab.is_closed(1008, "removed", likely=removed)
            await grace.until(lambda: len(grace.notices) > 1, expect="left Ada", likely=removed, after=after)
            if grace.notices != [("joined", "Ada"), ("left", "Ada")]:
                raise Failure(after=after, got=show(grace.notices), expect="joined and left", likely=removed)
            await Members(hosts[0]).remove(room, "Ada", expect=404, after=after, likely=removed)
            async with at(hosts[2], room, "Ada") as back:
                await say(back, "here again")
                await said(back, 1, after="Ada came back after the removal and sent a message", likely=removed)

    @check(4, "takes the members of a killed process off the list, and only those")
    async def test_killed(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            own_hosts(subject, 2, **SHORT_LEASES) as hosts,
            at(hosts[1], room, "Grace") as grace,
            at(hosts[0], room, "Ada") as ada,
        ):
            await say(ada, "one", "two")
            await said(grace, 2, after="Ada sent two messages", likely=EVERYWHERE)
            async with subject.another(BROKER=hosts.redis.url, **SHORT_LEASES) as third:
                async with at(third, room, "Linus", likely=IN_REDIS, after=0) as linus, at(third, room, "Ada"):
                    after = "two messages were sent, then another process was started, and Linus came to it"
                    await said(linus, 2, after=after, likely=IN_REDIS)
                    after = "Linus and a tab of Ada came to a further process"
                    await are(hosts, room, "Ada", "Grace", "Linus", after=after)
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
            await are(hosts, room, "Ada", "Grace", after=after, likely=LEASE)
            await say(ada, "three")
            for ear in (ada, grace):
                await said(ear, 3, after=after, likely=LEASE)
            told = [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus")]
            if grace.notices != told:
                likely = f"{LEASE}, and no other"
                raise Failure(after=after, got=show(grace.notices), expect=show(told), likely=likely)

    @check(5, "says so while Redis is away, and goes on when it is back empty, with larger ids")
    async def test_empty(self, subject: Subject) -> None:
        room = Members.room()
        async with own_hosts(subject, 2) as hosts:
            async with at(hosts[0], room, "Ada") as ada, at(hosts[1], room, "Grace") as grace:
                await say(ada, *(f"text {number}" for number in range(1, 21)))
                for ear in (ada, grace):
                    await said(ear, 20, after="Ada sent 20 messages", likely=EVERYWHERE)
                await asyncio.to_thread(hosts.redis.kill)
                for ear, kind in ((ada, "message"), (grace, "direct"), (grace, "message")):
                    errors = ear.errors
                    await ear.tab.send({"type": kind, "to": "Ada", "text": "anybody there?"})
                    await ear.until(
                        lambda ear=ear, errors=errors: ear.errors > errors,
                        expect='{"type": "error", "detail": "..."} and the connection still open',
                        likely=AWAY,
                        after=f"Redis was killed, and then a {kind} was sent",
                        seconds=4,
                    )
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

    @check(6, "knows a key again at every process")
    async def test_key(self, subject: Subject) -> None:
        hosts = await separate_hosts(subject)
        room = Members.room()
        async with contextlib.AsyncExitStack() as stack:
            adas = [await stack.enter_async_context(at(host, room, "Ada")) for host in hosts]
            grace = await stack.enter_async_context(at(hosts[2], room, "Grace"))
            after = "Ada sent one key at three processes, one after another"
            for ada in adas:
                await say(ada, "k", key="k")
                await self._acknowledged(ada, "k", after)
            self._has_one_id(adas, "k", after, HASHED)
            after = "Ada sent one key at three processes, all at once, and then the next"
            for number in range(20):
                key = f"all at once {number}"
                for ada in adas:
                    await say(ada, key, key=key)
                for ada in adas:
                    await self._acknowledged(ada, key, after)
                self._has_one_id(adas, key, after)
            await say(grace, "mine", key="k")
            await self._acknowledged(grace, "k", "Grace sent a key that Ada had used")
            elsewhere = await stack.enter_async_context(at(hosts[1], Members.room("elsewhere"), "Ada"))
            await say(elsewhere, "k", key="k")
            after = "Ada sent a key in another room which she had used in this one"
            await self._acknowledged(elsewhere, "k", after)
            await said(elsewhere, 1, after=after, likely=APART)
            # Put behind each other, name and key of these two are the same.
            for name, key in (("Ad", "ak"), ("Ada:k", "k"), ("Ada", "k:k")):
                async with at(hosts[0], room, name) as another:
                    await say(another, f"{name}, {key}", key=key)
                    await self._acknowledged(another, key, f"{name} sent the key {key}")
            for number in range(150):
                await say(grace, f"text {number}", key=f"g{number}")
            await self._acknowledged(grace, "g149", "Grace sent 150 messages with keys")
            await say(adas[1], "k", key="k")
            del adas[1].acks["k"]
            await self._acknowledged(adas[1], "k", "Ada sent her first key again, 173 keys later")
            for ear in (grace, *adas):
                after = "175 messages of different senders or with different keys were sent, and some of them again"
                await ear.settles(likely=KEYS)
                await said(ear, 175, after=after, likely=KEYS)

    @staticmethod
    def _has_one_id(ears: list[Ear], key: str, after: str, likely: str = KEYS) -> None:
        ids = [ear.acks[key] for ear in ears]
        if len(set(ids)) > 1:
            raise Failure(after=after, got=f"the ids {shortened(ids)}", expect="one id", likely=likely)

    @staticmethod
    async def _acknowledged(ear: Ear, key: str, after: str) -> None:
        await ear.until(lambda: key in ear.acks, expect=f"an ack of {key}", likely=KEYS, after=after)

    @check(6, "keeps the promises of step 08 without Redis")
    async def test_memory(self, subject: Subject) -> None:
        room = Members.room()
        likely = "memory:// is the default, and does what step 08 did"
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            async with subject.another(JOURNAL=journal) as before:
                async with at(before, room, "Ada", likely=likely) as ada, at(before, room, "Grace") as grace:
                    for number in range(1, 4):
                        await say(ada, f"text {number}", key=f"k{number}")
                    for ear in (ada, grace):
                        await said(ear, 3, after="Ada sent three messages, without BROKER", likely=likely)
                    await Members(before).remove(room, "Grace", likely=likely)
                    await grace.tab.is_closed(1008, "removed", likely=likely)
                    await asyncio.to_thread(before.server.kill)
            async with subject.another(JOURNAL=journal, BROKER="memory://") as again:
                async with at(again, room, "Ada", likely=likely, after=1) as ada:
                    await say(ada, "text 3", key="k3")
                    await say(ada, "text 4", key="k4")
                    after = "three messages, then kill -9, a start on the same JOURNAL, and Ada with after=1"
                    await ada.until(
                        lambda: len(ada.messages) >= 3, expect="messages 2 to 4", likely=likely, after=after
                    )
                    await ada.until(lambda: "k4" in ada.acks, expect="an ack", likely=likely, after=after)
                    if ada.ids != [2, 3, 4] or ada.acks != {"k3": 3, "k4": 4}:
                        raise Failure(after=after, got=str(ada), expect="messages 2 to 4", likely=likely)
