"""Step 11, TODO 2: one list of members for all processes."""

import contextlib

from judge.clients import anything
from judge.cluster import PRESENCE, Cluster, MemberLog, at, say, shared_cluster
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running

from ..scale_out.every_process import APART, EVERYWHERE, are, said

PROMPTLY = 5.0
"""The limit for an answer to DELETE, in seconds. A process that gets no confirmation waits LEASE_TTL plus 2 s, which is
8 s."""
CONFIRMED = (
    "A process doesn't get the events that it has sent itself, or gets them late. DELETE waits until every process "
    "with this name has confirmed it: let publish_transient() reach all processes, your own one too, and don't wait "
    "in between."
)


class Presence:
    @check(2, "has one list of members for all processes, with each name once")
    async def test_members(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        async with at(cluster[0], Members.room("elsewhere"), "Zoe") as zoe, at(cluster[1], room, "Grace") as grace:
            async with at(cluster[0], room, "Ada") as first:
                if first.names != ["Ada", "Grace"]:
                    got = f"the list {show(first.names)}"
                    raise Failure(
                        after="Zoe came to another room, Grace came to one process and then Ada to another",
                        got=got,
                        expect='["Ada", "Grace"]',
                        likely=APART if "Zoe" in first.names else PRESENCE,
                    )
                await are(cluster, room, "Ada", "Grace", after="Grace came to one process and Ada to another")
                async with at(cluster[2], room, "Ada") as second:
                    if second.names != ["Ada", "Grace"]:
                        raise Failure(
                            after="a second tab of Ada came, to a third process",
                            got=f"the list {show(second.names)}",
                            expect='["Ada", "Grace"]',
                            likely=PRESENCE,
                        )
                    await say(second, "hello")
                    await said(grace, 1, after="Ada's second tab sent a message", likely=EVERYWHERE)
                await self._passed_by(cluster, room, "Linus", grace)
                after = "two tabs of Ada came to two processes, one left, and Linus came and left"
                await self._told(grace, [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus")], after)
                await are(cluster, room, "Ada", "Grace", after=after)
            after = "the last tab of Ada left"
            told = [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus"), ("left", "Ada")]
            await self._told(grace, told, after)
            await are(cluster, room, "Grace", after=after)
            await zoe.settles(likely=APART)
            if zoe.notices:
                raise Failure(
                    after=f"{after}, in another room than Zoe's", got=show(zoe.notices), expect="nothing", likely=APART
                )
        await are(cluster, room, after="all had left")

    @staticmethod
    async def _passed_by(cluster: Cluster, room: str, name: str, log: MemberLog) -> None:
        """Let a member join, wait until `log` has the notice, and let the member leave."""
        async with at(cluster[2], room, name):
            await log.until(
                lambda: ("joined", name) in log.notices,
                expect=f"joined {name}",
                likely=PRESENCE,
                after=f"{name} came to another process",
            )

    @staticmethod
    async def _told(log: MemberLog, notices: list[tuple[str, str]], after: str) -> None:
        likely = "joined is told with the first tab of a name anywhere, left with the last one"
        expect = show(notices)
        await log.until(lambda: len(log.notices) >= len(notices), expect=expect, likely=likely, after=after)
        if log.notices != notices:
            raise Failure(after=after, got=show(log.notices), expect=expect, likely=likely)

    @check(2, "sends direct messages to other processes, and removes members there")
    async def test_direct_and_remove(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        async with (
            at(cluster[1], room, "Grace") as grace,
            at(cluster[0], room, "Ada") as one,
            at(cluster[2], room, "Ada") as two,
        ):
            await grace.until(
                lambda: grace.notices, expect="joined Ada", likely=PRESENCE, after="Ada came to two other processes"
            )
            await grace.tab.send({"type": "direct", "to": "Ada", "text": "psst"})
            direct = {"type": "direct", "from": "Grace", "text": "psst"}
            for log in (one, two):
                likely = "a direct message goes to all tabs of a name, at whichever process they are"
                after = "Grace sent Ada a direct message; Ada has tabs at two other processes"
                await log.until(lambda log=log: log.directs, expect=show(direct), likely=likely, after=after)
                if log.directs != [direct]:
                    raise Failure(after=after, got=show(log.directs), expect=show(direct), likely=likely)
            await grace.tab.send({"type": "direct", "to": "Linus", "text": "psst"})
            await grace.until(
                lambda: grace.errors, expect="an error", likely=PRESENCE, after="a direct message for somebody absent"
            )
            if grace.directs:
                raise Failure(after=after, got=show(grace.directs), expect="nothing for others", likely=likely)
            removed = "to remove a member, tell every process, and answer 204 when the name is off the list"
            after = "DELETE of Ada, at a process without a tab of Ada, was answered with 204"
            await Members(cluster[1]).remove(room, "Ada", likely=removed)
            for host in cluster:
                await Members(host).are(room, "Grace", after=after, likely=removed)
            for log in (one, two):
                await log.tab.is_closed(1008, "removed", likely=removed, besides=anything)
            await grace.until(lambda: len(grace.notices) > 1, expect="left Ada", likely=removed, after=after)
            if grace.notices != [("joined", "Ada"), ("left", "Ada")]:
                raise Failure(after=after, got=show(grace.notices), expect="joined and left", likely=removed)
            await Members(cluster[0]).remove(room, "Ada", expect=404, after=after, likely=removed)
            async with at(cluster[2], room, "Ada") as back:
                await say(back, "here again")
                await said(back, 1, after="Ada came back after the removal and sent a message", likely=removed)

    @check(2, "answers DELETE promptly, although the member rejoins immediately")
    async def test_rejoins(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        path = f"{Members.list_path(room)}/Ada"
        async with contextlib.AsyncExitStack() as stack:
            ada = await stack.enter_async_context(at(cluster[0], room, "Ada"))
            for host in (cluster[1], cluster[0]) * 4:
                place = "her own process" if host is cluster[0] else "another process than hers"
                after = f"DELETE of Ada at {place}; her client rejoined immediately after the close"
                request = host.request("DELETE", path, likely=CONFIRMED, timeout=PROMPTLY)
                async with running(request) as (removing,):
                    await ada.tab.is_closed(1008, "removed", likely=CONFIRMED, besides=anything)
                    ada = await stack.enter_async_context(at(cluster[0], room, "Ada"))
                    answer = await removing
                if answer.status_code != 204:
                    got = f"status {answer.status_code}, {show(answer.text)}"
                    raise Failure(after=after, got=got, expect="status 204", likely=CONFIRMED)
            await are(cluster, room, "Ada", after=after, likely=CONFIRMED)
