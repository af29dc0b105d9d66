"""Step 11, TODO 2: one list of members for all processes."""

import asyncio
import contextlib

from judge import pool
from judge.clients import anything
from judge.cluster import PRESENCE, Cluster, MemberLog, at, say, shared_cluster
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running
from redis.asyncio import Redis

from ..scale_out.between import enter_scene
from ..scale_out.every_process import APART, EVERYWHERE, Causes, are, said
from .starter import suspecting

PROMPTLY = 5.0
"""The limit for an answer to DELETE, in seconds. A process that gets no confirmation waits LEASE_TTL plus 2 s, which is
8 s."""
LIST_SECONDS = 3600
"""The time until a list expires that no process updates, in seconds."""
CONFIRMED = (
    "A process doesn't get the events that it has sent itself, or gets them late. DELETE waits until every process "
    "with this name has confirmed it: let publish_transient() reach all processes, including your own, and don't wait "
    "in between."
)
NOTICES = (
    "Your presences don't count a name once for all processes. Return the names of every process, by process: "
    "manager.py compares them before and after each change, and sends joined and left."
)
DIRECT = (
    "The direct message doesn't reach every process, because publish_transient() doesn't publish it to all of them, or "
    "because your code changes it. Publish json.dumps(event) in the room's channel, and dispatch the same object."
)
TWICE = "An event reaches a process twice. Publish it once, and have one subscription for each process."
SIMILAR = (
    "Your code changes names or rooms: their case, white space, Unicode form or separators. Use them as they are, in "
    "keys, in the JSON of the names, and in comparisons."
)
BLANKS = (
    "Your code removes the blanks at the ends of a name, so different names become one. Store each name as it is: "
    "json.dumps(names)."
)
REMOVED = (
    "The removal doesn't reach the process that has the tab. remove() in manager.py passes the remove event to "
    "publish_transient(): publish an event of any type there, also remove and removed, and dispatch it in "
    "every process."
)
STILL_LISTED = (
    "The tabs are closed, and the name is still on the list: update_presence() doesn't remove it. If a process has no "
    "names left in a room, UPDATE_PRESENCE gets [] and deletes its field."
)
ABSENT = (
    "get_presence() returns names that aren't in this room, or the wrong ones. Read the hash of exactly this room, and "
    "return its fields."
)
EXPIRES_EARLY = (
    "Your list expires too early, so it's empty although its members are connected. Pass 3600 to UPDATE_PRESENCE: a "
    "list isn't a lease."
)
NEVER_EXPIRES = (
    "Your list has no expiry, so Redis keeps it indefinitely after the last process has been killed. Pass 3600 to "
    "UPDATE_PRESENCE, which calls EXPIRE."
)
EXPIRES_LATE = "Your list expires later than Make states. Pass 3600 to UPDATE_PRESENCE, in seconds."


TWO_STEPS = (
    "Your process takes a version that's newer than its list of names, so it ignores the change between the two. "
    "Return both from UPDATE_PRESENCE, which Redis runs in one step."
)


class Presence:
    @check(2, "lists each name of all processes once")
    async def test_members(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        async with at(cluster[0], Members.room("elsewhere"), "Zoe") as zoe, at(cluster[1], room, "Grace") as grace:
            async with at(cluster[0], room, "Ada") as first:
                if first.names != ["Ada", "Grace"]:
                    got = f"the list {show(first.names)}"
                    raise Failure(
                        after="Zoe joined another room, Grace joined at one process, and then Ada at another process",
                        got=got,
                        expect='the list ["Ada", "Grace"] as the first message to Ada\'s tab',
                        likely=APART if "Zoe" in first.names else PRESENCE,
                    )
                await are(cluster, room, "Ada", "Grace", after="Grace joined at one process, and Ada at another")
                async with at(cluster[2], room, "Ada") as second:
                    if second.names != ["Ada", "Grace"]:
                        raise Failure(
                            after="Ada opened a second tab, at a third process",
                            got=f"the list {show(second.names)}",
                            expect='the list ["Ada", "Grace"] as the first message to this tab',
                            likely=PRESENCE,
                        )
                    await say(second, "hello")
                    await said(grace, 1, after="Ada's second tab sent a message", likely=EVERYWHERE)
                await self._passed_by(cluster, room, "Linus", grace)
                after = "Ada had tabs at two processes, one of them was closed, and Linus joined and left"
                await self._told(grace, [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus")], after)
                await are(cluster, room, "Ada", "Grace", after=after)
                await expires_in_an_hour(cluster, room, after=f"{after}; Ada and Grace are in the room")
            after = "Ada's last tab was closed"
            told = [("joined", "Ada"), ("joined", "Linus"), ("left", "Linus"), ("left", "Ada")]
            await self._told(grace, told, after)
            await are(cluster, room, "Grace", after=after)
            await zoe.settles(likely=APART)
            if zoe.notices:
                got = f"in another room, Zoe got {show(zoe.notices)}"
                raise Failure(after=after, got=got, expect="no notice to Zoe", likely=APART)
        await are(cluster, room, after="all members left")

    @staticmethod
    async def _passed_by(cluster: Cluster, room: str, name: str, log: MemberLog) -> None:
        """Let a member join, wait until `log` has the notice, and let the member leave."""
        async with at(cluster[2], room, name):
            await log.until(
                lambda: ("joined", name) in log.notices,
                expect=f"joined {name}",
                likely=PRESENCE,
                after=f"{name} joined at another process",
            )

    @staticmethod
    async def _told(log: MemberLog, notices: list[tuple[str, str]], after: str) -> None:
        expect = f"the notices {show(notices)}, each once"
        await log.until(lambda: len(log.notices) >= len(notices), expect=expect, likely=NOTICES, after=after)
        await log.settles(likely=NOTICES)
        if log.notices != notices:
            got = f"the notices {show(log.notices)}"
            raise Failure(after=after, got=got, expect=expect, likely=NOTICES)

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
                lambda: grace.notices, expect="joined Ada", likely=PRESENCE, after="Ada joined at two other processes"
            )
            await grace.tab.send({"type": "direct", "to": "Ada", "text": "psst"})
            direct = {"type": "direct", "from": "Grace", "text": "psst"}
            for log in (one, two):
                after = "Grace sent Ada a direct message; Ada has tabs at two other processes"
                expect = f"{show(direct)} at both tabs, once"
                await log.until(lambda log=log: log.directs, expect=expect, likely=DIRECT, after=after)
                await log.settles(likely=DIRECT)
                if log.directs != [direct]:
                    raise Failure(after=after, got=show(log.directs), expect=expect, likely=DIRECT)
            await grace.tab.send({"type": "direct", "to": "Linus", "text": "psst"})
            absent = "Grace sent a direct message to Linus, who isn't in the room"
            await grace.until(lambda: grace.errors, expect="an error to Grace", likely=ABSENT, after=absent)
            if grace.directs:
                got = f"Grace got {show(grace.directs)}"
                raise Failure(after=after, got=got, expect="no direct message to Grace", likely=DIRECT)
            after = "DELETE of Ada, at a process without a tab of Ada, was answered with 204"
            passes = "remove() passes the remove event to self.broker.publish_transient(), for all processes"
            with suspecting(subject, "manager.py", passes):
                await Members(cluster[1]).remove(room, "Ada", likely=REMOVED)
            for host in cluster.servers:
                await Members(host).are(room, "Grace", after=after, likely=STILL_LISTED)
            for log in (one, two):
                await log.tab.is_closed(1008, "removed", likely=REMOVED, besides=anything)
            expect = "joined Ada and left Ada, each once"
            await grace.until(lambda: len(grace.notices) > 1, expect=expect, likely=STILL_LISTED, after=after)
            await grace.settles(likely=STILL_LISTED)
            if grace.notices != [("joined", "Ada"), ("left", "Ada")]:
                raise Failure(after=after, got=show(grace.notices), expect=expect, likely=NOTICES)
            for host in cluster.servers:
                await Members(host).remove(room, "Ada", expect=404, after=after, likely=STILL_LISTED)
                empty = Members.room("empty")
                await Members(host).remove(empty, "Grace", expect=404, after="Grace is in another room", likely=APART)
            async with at(cluster[2], room, "Ada") as back:
                await say(back, "here again")
                await said(back, 1, after="Ada rejoined after the removal and sent a message", likely=REMOVED)

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

    @check(2, "lists and notifies of every name, whatever other processes do in between")
    async def test_names_between(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        after = "members joined at two processes, one of them between two commands of the other process"
        causes = Causes(missing=TWO_STEPS, gap=TWO_STEPS, twice=TWO_STEPS, order=TWO_STEPS, number=TWO_STEPS)
        async with enter_scene(subject, after, causes) as scene, contextlib.AsyncExitStack() as stack:
            names = ["Ada", "Zoe"]

            async def join(host: Subject, name: str) -> MemberLog:
                log = await stack.enter_async_context(at(host, scene.room, name))
                names.append(name)
                return log

            async def act(place: int) -> None:
                # Its own snapshot is there before the events of the others.
                with scene.proxy.late(scene.room):
                    linus = await join(scene.behind, f"Linus {place}")
                for log in (scene.ada, scene.zoe, linus):
                    await log.until(
                        lambda log=log: {*names[2:]} <= {*log.names, *(name for _, name in log.notices)},
                        expect=f"{', '.join(names[2:])} in the list, or joined for each",
                        likely=TWO_STEPS,
                        after=after,
                    )

            await scene.before_each(act, lambda place: join(cluster[2], f"Grace {place}"))

    @check(2, "keeps names as they are, at every process")
    async def test_names(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = pool.unique("lobby")
        names = pool.names()
        similar = [each for each in dict.fromkeys(pool.neighbors(names["upper case"])) if len(each) <= 20][:6]
        everyone = [*dict.fromkeys([*names.values(), *similar])]
        async with contextlib.AsyncExitStack() as stack:
            watcher = await stack.enter_async_context(at(cluster[0], room, "Watcher"))
            async with contextlib.AsyncExitStack() as inside:
                logs = {}
                for number, name in enumerate(everyone):
                    logs[name] = await inside.enter_async_context(at(cluster[number % 3], room, name))
                after = f"{len(everyone)} members with different names joined, at three processes"
                await self._notified(watcher, "joined", everyone, after)
                newest = logs[everyone[-1]]
                self._same_names(newest.names, ["Watcher", *everyone], after)
                await are(cluster, room, "Watcher", *everyone, after=after, likely=SIMILAR)
                await self._direct_to_all(watcher, logs)
                await self._removes_all(cluster, room, logs, everyone, names)
                await are(cluster, room, "Watcher", after="DELETE of all other members", likely=STILL_LISTED)
                await self._notified(watcher, "left", everyone, "DELETE of each of these members")
        await are(cluster, room, after="all members left")

    @staticmethod
    def _same_names(got: list[str], wanted: list[str], after: str) -> None:
        if got != sorted(wanted):
            more = [each for each in got if each not in wanted or got.count(each) > 1]
            missing = [each for each in wanted if each not in got]
            found = f"a list with {len(got)} names as the first message to the newest tab"
            found += f", without {show(missing)}" if missing else ""
            found += f", with {show(more)}" if more else ""
            raise Failure(after=after, got=found, expect=f"{len(wanted)} names, each once, sorted", likely=SIMILAR)

    @staticmethod
    async def _notified(log: MemberLog, kind: str, names: list[str], after: str) -> None:
        """Check that the tab has got this notice for each name, once."""

        def got() -> list[str]:
            return [name for each, name in log.notices if each == kind]

        expect = f"{kind} for each of these {len(names)} names, once"
        too_few = None
        try:
            await log.until(lambda: len(got()) >= len(names), expect=expect, likely=SIMILAR, after=after)
            await log.settles(likely=SIMILAR)
        except Failure as failure:
            if "no answer" not in failure.got:
                raise
            too_few = failure
        if sorted(got()) != sorted(names):
            surplus = [each for each in got() if got().count(each) > 1 or each not in names]
            missing = [each for each in names if each not in got()]
            found = f"{len(got())} times {kind}"
            found += f", without {show(missing)}" if missing else ""
            found += f", with {show(surplus)}" if surplus else ""
            blanks = missing and all(each != each.strip() for each in missing)
            likely = BLANKS if blanks else SIMILAR
            raise Failure(after=after, got=found, expect=expect, likely=likely)
        if too_few:
            raise too_few

    @staticmethod
    async def _direct_to_all(watcher: MemberLog, logs: dict[str, MemberLog]) -> None:
        """Send a direct message to each name, and every kind of text to one of them at another process."""
        wanted: dict[str, list[str]] = {name: [f"to {number}"] for number, name in enumerate(logs)}
        chosen = [*logs][1]
        texts = pool.texts(long=False)
        wanted[chosen] += texts.values()
        for name, some in wanted.items():
            for text in some:
                await watcher.tab.send({"type": "direct", "to": name, "text": text})
        for name, some in wanted.items():
            log, after = logs[name], f"Watcher sent a direct message to each of {len(logs)} members at three processes"
            expect = f"{len(some)} direct message{'s' * (len(some) > 1)} to {show(name)}"
            await log.until(
                lambda log=log, some=some: len(log.directs) >= len(some), expect=expect, likely=DIRECT, after=after
            )  # noqa: E501
            await log.settles(likely=DIRECT)
            for text, each in zip(some, log.directs, strict=False):
                direct = {"type": "direct", "from": "Watcher", "text": text}
                if each != direct:
                    raise Failure(after=after, got=f"{name} got {show(each)}", expect=show(direct), likely=DIRECT)
            if len(log.directs) > len(some):
                got = f"{show(name)} got {len(log.directs)} direct messages, the last one {show(log.directs[-1])}"
                likely = TWICE if log.directs.count(log.directs[-1]) > 1 else SIMILAR
                raise Failure(after=after, got=got, expect=expect, likely=likely)
        if watcher.errors:
            got = f"Watcher got {show(watcher.errors[0])}"
            after = f"a direct message to each of {len(logs)} members, who are all in the room"
            raise Failure(after=after, got=got, expect="no error", likely=SIMILAR)

    @staticmethod
    async def _removes_all(
        cluster: Cluster, room: str, logs: dict[str, MemberLog], everyone: list[str], names: dict[str, str]
    ) -> None:
        """Remove each member at a process without a tab of it, and similar names, which aren't in the room."""
        for absent in [each for each in pool.neighbors(names["plain"]) if each not in everyone][:6]:
            after = f"{show(names['plain'])} is in the room, and {show(absent)} isn't"
            await Members(cluster[1]).remove(room, absent, expect=404, after=after, likely=SIMILAR)
        for number, (name, log) in enumerate(logs.items()):
            after = f"{show(name)} is in the room, at another process"
            await Members(cluster[(number + 1) % 3]).remove(room, name, after=after, likely=SIMILAR)
            await log.tab.is_closed(1008, "removed", likely=REMOVED, besides=anything)
            # All others are still there.
            rest = [*logs.values()][number + 1 : number + 2]
            for other in rest:
                await other.settles(likely=SIMILAR)

    @check(2, "keeps rooms apart at every process, also similar ones")
    async def test_rooms(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        base = pool.unique("lobby")
        dotted = pool.unique("a.b")
        rooms = [*pool.rooms().values(), base, *pool.neighbors(base)[:6], dotted, dotted.replace(".", "_")]
        rooms += [f"{base}:members", f"{{{base}}}", f"{base}}}:members", f"members:{base}", "processes", "room:"]
        async with contextlib.AsyncExitStack() as stack:
            logs = []
            for number, room in enumerate(rooms):
                first = await stack.enter_async_context(at(cluster[number % 3], room, f"member {number}"))
                logs.append((room, number, first))
            after = f"{len(rooms)} members joined, each another room"
            for room, number, log in logs:
                async with at(cluster[(number + 1) % 3], room, "Ada") as ada:
                    expect = sorted(["Ada", f"member {number}"])
                    if ada.names != expect:
                        joined = f"{after}; then Ada joined the room {show(room)} at another process"
                        got = f"the list {show(ada.names)}"
                        if strangers := [each for each in logs if f"member {each[1]}" in set(ada.names) - set(expect)]:
                            got += f"; member {strangers[0][1]} is in the room {show(strangers[0][0])}"
                        raise Failure(after=joined, got=got, expect=f"the list {show(expect)}", likely=SIMILAR)
                    await ada.tab.send({"type": "direct", "to": f"member {number}", "text": room})
                    await log.until(
                        lambda log=log: log.directs,
                        expect=f"the direct message in the room {show(room)}",
                        likely=SIMILAR,
                        after=f"Ada joined the room {show(room)}, and sent a direct message to its other member",
                    )
            for room, _, log in logs:
                after = f"Ada joined and left each of {len(rooms)} rooms, one after another"
                expect = 'joined "Ada" and left "Ada", each once'
                await log.until(lambda log=log: len(log.notices) >= 2, expect=expect, likely=SIMILAR, after=after)
                await log.settles(likely=SIMILAR)
                if log.notices != [("joined", "Ada"), ("left", "Ada")] or len(log.directs) != 1:
                    got = f"in the room {show(room)}, {show(log.notices)} and {len(log.directs)} direct messages"
                    raise Failure(after=after, got=got, expect=f"{expect}, and one direct message", likely=SIMILAR)


async def expires_in_an_hour(cluster: Cluster, room: str, *, after: str) -> None:
    """Check that the hash with the names of a room is deleted 3600 s after it was last written.

    Raises:
        Failure: it has another expiry.
    """
    async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
        for key in await lists_of(redis, room):
            seconds = await redis.ttl(key)
            if not LIST_SECONDS - 60 <= seconds <= LIST_SECONDS:
                # It may have expired meanwhile, as a key of a right answer does when the last member leaves.
                if seconds == -2 and not await redis.exists(key):
                    continue
                got = f"TTL of the list's key is {seconds}" + " (no expiry)" * (seconds == -1)
                likely = NEVER_EXPIRES if seconds == -1 else EXPIRES_LATE if seconds > LIST_SECONDS else EXPIRES_EARLY
                raise Failure(after=after, got=got, expect=f"{LIST_SECONDS}, in seconds", likely=likely)


async def lists_of(redis: Redis, room: str) -> list[str]:
    """Return the keys of the hashes with the names of a room. Another answer may store them in other types."""
    keys = [key async for key in redis.scan_iter(_type="hash", count=1000) if room in key]
    fields = await asyncio.gather(*(redis.hgetall(key) for key in keys))
    return [key for key, some in zip(keys, fields, strict=True) if "Ada" in str(some)]
