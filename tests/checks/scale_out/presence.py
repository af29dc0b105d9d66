"""Step 09, TODO 4: one list of members for all processes, also after one was killed."""

import asyncio
import contextlib

from judge.clients import anything
from judge.hosts import PRESENCE, Ear, Hosts, at, own_hosts, say, separate_hosts, shared_hosts
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running

from .every_process import APART, EVERYWHERE, IN_REDIS, LEASE_RENEW_INTERVAL, LEASE_TTL, SHORT_LEASES, are, said

GONE_WITHIN = 10 / 6 * LEASE_TTL
"""Seconds until the members of a killed process are off the list: 10 for a lease of 6, and in proportion. This is less
than a lease of 6 that is 1.5 old, so an answer with the defaults in its code is late."""
LEASE = "each process renews a lease; when it has run out, the others take the names of that process off the list"
LATE = (
    f"{LEASE}. If that works, but takes longer: your code has its own seconds. Take LEASE_TTL and "
    "LEASE_RENEW_INTERVAL from settings.py, because this check sets shorter ones"
)

PROMPTLY = 5.0
"""Seconds for an answer to DELETE. A process that waits for a confirmation in vain needs LEASE_TTL and 2 more, 8."""
CONFIRMED = (
    "A process doesn't get the events that it has sent itself, or gets them late. DELETE waits until every process "
    "with this name has confirmed it: let send() reach all processes, your own one too, and don't wait in between."
)


class Presence:
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
                await ear.tab.is_closed(1008, "removed", likely=removed, besides=anything)
            await grace.until(lambda: len(grace.notices) > 1, expect="left Ada", likely=removed, after=after)
            if grace.notices != [("joined", "Ada"), ("left", "Ada")]:
                raise Failure(after=after, got=show(grace.notices), expect="joined and left", likely=removed)
            await Members(hosts[0]).remove(room, "Ada", expect=404, after=after, likely=removed)
            async with at(hosts[2], room, "Ada") as back:
                await say(back, "here again")
                await said(back, 1, after="Ada came back after the removal and sent a message", likely=removed)

    @check(4, "answers DELETE promptly, although the member rejoins immediately")
    async def test_rejoins(self, subject: Subject) -> None:
        hosts = await shared_hosts(subject)
        room = Members.room()
        path = f"{Members.list_path(room)}/Ada"
        async with contextlib.AsyncExitStack() as stack:
            ada = await stack.enter_async_context(at(hosts[0], room, "Ada"))
            for host in (hosts[1], hosts[0]) * 4:
                place = "her own process" if host is hosts[0] else "another process than hers"
                after = f"DELETE of Ada at {place}; her client rejoined immediately after the close"
                request = host.request("DELETE", path, likely=CONFIRMED, timeout=PROMPTLY)
                async with running(request) as (removing,):
                    await ada.tab.is_closed(1008, "removed", likely=CONFIRMED, besides=anything)
                    ada = await stack.enter_async_context(at(hosts[0], room, "Ada"))
                    answer = await removing
                if answer.status_code != 204:
                    got = f"status {answer.status_code}, {show(answer.text)}"
                    raise Failure(after=after, got=got, expect="status 204", likely=CONFIRMED)
            await are(hosts, room, "Ada", after=after, likely=CONFIRMED)

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
                    try:
                        await said(linus, 2, after=after, likely=IN_REDIS)
                    except Failure as failure:
                        failure.number = 3  # The history is missing, not the presence.
                        raise
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
