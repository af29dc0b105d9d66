"""Step 10: what other processes do between two commands of a process, or before it gets what is published."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from judge import pool
from judge.cluster import Cluster, MemberLog, at, say, shared_cluster
from judge.members import message
from judge.messages import show
from judge.model import Failure, check
from judge.redis_proxy import RedisProxy, redis_proxy
from judge.subject import Subject

from .diagnosis import explained
from .every_process import Causes, compare, listed, receives

PLACES = 6
"""The number of commands of a process before which another process does something."""
TWO_STEPS = (
    "Your process assigns the id, stores the message, and publishes it in several commands, and another process can "
    "publish a larger id between them. Call INCR, XADD and PUBLISH in one script, which Redis runs in one step."
)
ORDER = Causes(missing=TWO_STEPS, gap=TWO_STEPS, twice=TWO_STEPS, order=TWO_STEPS, number=TWO_STEPS)
STORED_LATER = (
    "Your process publishes a message before it's in the stream, so a member that joins in between misses it. Call "
    "XADD in the script, before PUBLISH."
)
PUBLISHED_FIRST = (
    "Your script publishes the message before it adds it to the stream. If XADD fails, such as without memory, members "
    "have a message that no replay has. Call XADD before PUBLISH."
)
STORED = Causes(missing=STORED_LATER, gap=STORED_LATER, twice=STORED_LATER, order=STORED_LATER, number=STORED_LATER)
STALE = (
    "Your read_history() returns a last id that's older than the message that this member has got at another process: "
    "what it has read before, or what this process has received. Read the last id from Redis each time."
)
NOT_READ = (
    "Your read_history() sends no command to Redis: it returns what it read before, or what this process received. "
    "Read the last id and the messages from Redis in each call."
)
READ_TWICE = (
    "Your read_history() reads the entries first, and then a newer last id, so it lacks the messages in between. Read "
    "both in one transaction, with async with self.redis.pipeline(); or take the last id first."
)
READ_WRONG = (
    "Your read_history() returns other messages than those after the id `after`, when that isn't 0. Read from the "
    "entry after + 1: its place in the stream is another number, because the stream is trimmed."
)
LOOKED_UP = (
    "Your process looks the key up, stores it, and publishes the message in several commands, and another process gets "
    "the same key between them. Do all of it in the script, which Redis runs in one step."
)
PUBLISHED_LATER = (
    "Your process publishes the message in a command of its own, after the script. If it loses its connection in "
    "between, the message has an id, and no member gets it. Call PUBLISH in the script."
)
DROPPED = (
    "Your process drops published messages when many arrive at the same time, such as from a queue with a maxsize. "
    "Handle each message in _listen() before you read the next one."
)
SUBSCRIBED_LATE = (
    "Your process subscribes to a room after it has read its history, or without waiting for the confirmation, so it "
    "misses what's published in between. Subscribe to all rooms in start(), as the starter code does."
)
IGNORED = (
    "Your process ignores what's published while it reads a history. Pass each published message to the listener, also "
    "during read_history(): the manager leaves out what it has already."
)
MANY = 150
"""Published messages at the same time, more than two queues of 64."""
RETRIED = (
    "Redis has run the command, and only its reply was lost. Your Redis client, or your code, sends the command "
    "again, so the message is published twice. Switch retries off: retry=Retry(NoBackoff(), 0), and send it once."
)


@dataclass
class Scene:
    """A room with a member at a process behind a proxy, and one at another process."""

    proxy: RedisProxy
    behind: Subject
    """The process behind the proxy."""
    room: str
    ada: MemberLog
    """The member there."""
    zoe: MemberLog
    """The other member."""
    after: str
    causes: Causes
    sent: list[tuple[str, str]] = field(default_factory=list)
    """The senders and texts of all messages."""

    async def zoe_says(self, text: str) -> None:
        """Let Zoe send a message, and wait until she receives it. She has received all earlier ones then."""
        self.sent.append(("Zoe", text))
        await say(self.zoe, text)
        await self.zoe.until(
            lambda: any(each["text"] == text for each in self.zoe.messages),
            expect=f'the message "{text}"',
            likely=self.causes.missing,
            after=self.after,
        )

    async def ada_says(self, text: str) -> None:
        """Let Ada send a message with a key, and wait until her process acknowledges it, after its last command."""
        self.sent.append(("Ada", text))
        await say(self.ada, text, key=text)
        expect = f'an ack of the key "{text}"'
        await self.ada.until(lambda: text in self.ada.acks, expect=expect, likely=self.causes.missing, after=self.after)

    async def agree(self, *logs: MemberLog) -> None:
        """Wait until the members have received all messages, each once, without gaps, in one order.

        Raises:
            Failure: they haven't.
        """
        for log in logs:
            enough = lambda log=log: len(log.messages) >= len(self.sent) or bool(log.gaps)  # noqa: E731
            wanted = [message(number, *each) for number, each in enumerate(self.sent, 1)]
            with contextlib.suppress(Failure):
                await log.until(enough, expect=listed(wanted), likely=self.causes.missing, after=self.after)
            texts = sorted((each["from"], each["text"]) for each in log.messages)
            ids = list(range(1, len(self.sent) + 1))
            if texts != sorted(self.sent) or log.ids != ids or log.gaps:
                compare(log, wanted, after=self.after, causes=self.causes)
            if log.messages != logs[0].messages:
                got = f"{show(log.messages[-4:])} and {show(logs[0].messages[-4:])} at another process"
                expect = "the same messages in the same order at both"
                raise Failure(after=self.after, got=got, expect=expect, likely=self.causes.order)

    async def before_each(
        self, act: Callable[[int], Awaitable[None]], meanwhile: Callable[[int], Coroutine[Any, Any, object]]
    ) -> None:
        """Do something at the process, several times; each time, do something else before its next command.

        Args:
            act: causes a number of commands, and waits until they have run.
            meanwhile: runs before the first command in the first round, before the second one in the second round ...
        """
        for place in range(1, PLACES + 1):
            stop = self.proxy.stop_before(self.room, place, lambda place=place: meanwhile(place))
            try:
                await act(place)
                if stop.failed:
                    raise stop.failed
            except Failure as failure:
                failure = stop.failed if isinstance(stop.failed, Failure) else failure
                if failure.likely == READ_TWICE and place == 1:
                    failure.likely = READ_WRONG  # Nothing was sent between two commands yet.
                if failure.likely == STALE and not stop.commands:
                    failure.likely = NOT_READ
                failure.got += f". Commands of the process: {', '.join(stop.commands[:PLACES]) or 'none'}"
                raise failure from None
            finally:
                await stop.end()
            if not stop.ran:
                return


@contextlib.asynccontextmanager
async def enter_scene(subject: Subject, after: str, causes: Causes, *, own: bool = False) -> AsyncIterator[Scene]:
    """Enter a room.

    Args:
        subject: the answer.
        after: the events, for the message of a failure.
        causes: the likely causes of a failure.
        own: whether the process behind the proxy is only for this check, which may end it.
    """
    cluster = await shared_cluster(subject)
    room = pool.unique("lobby")
    async with contextlib.AsyncExitStack() as stack:
        if own:
            proxy = await stack.enter_async_context(redis_proxy(cluster.redis))
            # Noisy: a lost reply ends the endpoint of its sender with a traceback.
            behind = await stack.enter_async_context(subject.another(BROKER=proxy.url, noisy=True))
        else:
            proxy = await subject.share("proxy", lambda: _serve(subject, cluster))
            behind = await subject.under(BROKER=proxy.url)
        zoe = await stack.enter_async_context(at(cluster[1], room, "Zoe"))
        ada = await stack.enter_async_context(at(behind, room, "Ada"))
        scene = Scene(proxy, behind, room, ada, zoe, after, causes)
        await scene.zoe_says("first")
        yield scene


async def _serve(subject: Subject, cluster: Cluster) -> RedisProxy:
    """Start a proxy that ends with the subject."""
    proxy, loop = RedisProxy(cluster.redis), asyncio.get_running_loop()
    await proxy.start()
    # It's called in a thread.
    subject.at_end.append(lambda: loop.call_soon_threadsafe(proxy.close))
    return proxy


class Between:
    @check(1, "assigns ids and publishes in one step, whatever other processes do in between")
    @explained
    async def test_ids_between(self, subject: Subject) -> None:
        after = "Ada and Zoe sent messages at two processes, Zoe between two commands of Ada's process"
        async with enter_scene(subject, after, ORDER) as scene:

            async def act(place: int) -> None:
                await scene.ada_says(f"Ada {place}")
                await scene.agree(scene.zoe, scene.ada)

            await scene.before_each(act, lambda place: scene.zoe_says(f"Zoe {place}"))

    @check(1, "publishes a message once, although the reply of Redis is lost")
    @explained
    async def test_lost_reply(self, subject: Subject) -> None:
        after = "Ada sent a message, and her process lost its connection to Redis before the reply"
        causes = Causes(missing=PUBLISHED_LATER, gap=PUBLISHED_LATER, twice=RETRIED, order=RETRIED, number=RETRIED)
        async with enter_scene(subject, after, causes, own=True) as scene:
            scene.proxy.loses_reply = True
            scene.sent.append(("Ada", "no reply"))
            await say(scene.ada, "no reply")
            await scene.agree(scene.zoe)
            # If the message is published a second time, it's before the next one.
            with contextlib.suppress(Failure):
                await scene.ada.settles(likely=RETRIED)
            await scene.zoe_says("last")
            await scene.agree(scene.zoe)

    @check(3, "stores each message before another process delivers it")
    @explained
    async def test_stored_between(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        after = "Ada sent a message, and Grace joined at another process with after=0, between two commands of Ada's"
        async with enter_scene(subject, after, STORED) as scene, contextlib.AsyncExitStack() as stack:
            joined: list[MemberLog] = []

            async def join(place: int) -> None:
                await scene.zoe_says(f"Zoe {place}")
                grace = await stack.enter_async_context(at(cluster[2], scene.room, f"Grace {place}", after=0))
                joined.append(grace)
                await receives(grace, list(scene.zoe.messages), after=after, causes=STORED)

            async def act(place: int) -> None:
                await scene.ada_says(f"Ada {place}")
                await scene.agree(scene.zoe, scene.ada, *joined)

            await scene.before_each(act, join)
            if cluster.redis.program:
                await self._is_added_first(scene, cluster.redis.port)

    @staticmethod
    async def _is_added_first(scene: Scene, port: int) -> None:
        """Check the order of the commands in the script, which only MONITOR shows."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 25)
        try:
            writer.write(b"MONITOR\r\n")
            await reader.readline()
            await scene.ada_says("monitored")
            await scene.zoe_says("end of monitoring")
            names: list[str] = []
            async with asyncio.timeout(scene.zoe.tab.patience):
                while b"end of monitoring" not in (line := await reader.readline()):
                    if scene.room.encode() in line and (found := re.search(rb'\] "(\w+)"', line)):
                        names.append(found[1].decode().upper())
        finally:
            writer.transport.abort()
        if "PUBLISH" in names and "XADD" not in names[: names.index("PUBLISH")]:
            got, expect = f"in Redis, the commands {', '.join(names[:PLACES])}", "XADD before PUBLISH"
            raise Failure(after="Ada sent a message", got=got, expect=expect, likely=PUBLISHED_FIRST)

    @check(3, "loses and duplicates nothing if published messages arrive later than the history")
    @explained
    async def test_late(self, subject: Subject) -> None:
        causes = Causes(
            missing=READ_WRONG, gap=READ_TWICE, twice=READ_WRONG, order=READ_WRONG, number=READ_WRONG, wrong=READ_WRONG
        )
        after = (
            "the room had 130 messages; Zoe sent more, which Ada's process didn't get from Redis yet, and Grace joined "
            "there with after=100, while Zoe sent another one"
        )
        async with enter_scene(subject, after, causes) as scene, contextlib.AsyncExitStack() as stack:
            texts = [f"old {number}" for number in range(2, 131)]
            await say(scene.zoe, *texts)
            scene.sent += [("Zoe", text) for text in texts]
            await scene.agree(scene.zoe, scene.ada)
            joined: list[MemberLog] = []

            async def act(place: int) -> None:
                with scene.proxy.late(scene.room):
                    for number in (1, 2, 3):
                        await scene.zoe_says(f"late {place} {number}")
                    path = at(scene.behind, scene.room, f"Grace {place}", after=100)
                    joined.append(grace := await stack.enter_async_context(path))
                    await grace.settles(likely=READ_WRONG)
                    # She has received the newest message at another process, and reconnects here.
                    newest = len(scene.zoe.messages)
                    path = at(scene.behind, scene.room, f"Linus {place}", likely=STALE, after=newest)
                    linus = await stack.enter_async_context(path)
                await scene.zoe_says(f"then {place}")
                await scene.agree(scene.zoe, scene.ada)
                await receives(grace, scene.zoe.messages[100:], after=after, causes=causes)
                await receives(linus, scene.zoe.messages[newest:], after=after, causes=causes)

            await scene.before_each(act, lambda place: scene.zoe_says(f"between {place}"))
            for log in joined:
                await receives(log, scene.zoe.messages[100:], after=after, causes=causes)
                await log.settles(likely=READ_WRONG)
                compare(log, scene.zoe.messages[100:], after=after, causes=causes)
            # Many published messages at the same time, and none after them.
            many = [f"many {number}" for number in range(MANY)]
            scene.after = f"Ada's process got {MANY} published messages from Redis at the same time"
            scene.causes = Causes(missing=DROPPED, gap=DROPPED, twice=DROPPED, order=DROPPED, number=DROPPED)
            with scene.proxy.late(scene.room):
                await say(scene.zoe, *many)
                scene.sent += [("Zoe", text) for text in many]
                await scene.agree(scene.zoe)
                # A process that reads a stream of events gets no more before it has these.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await scene.proxy.keeps(scene.room, many[-1])
            await scene.agree(scene.zoe, scene.ada)

    @check(3, "misses no message that's published while a process reads the history of a room")
    @explained
    async def test_first_member(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        proxy = await subject.share("proxy", lambda: _serve(subject, cluster))
        behind = await subject.under(BROKER=proxy.url)
        other = pool.unique("elsewhere")
        async with at(cluster[1], other, "Ada") as ada, at(behind, other, "Linus") as linus:

            async def handled() -> None:
                """Wait until the process has handled what was published before: then it handles Ada's message."""
                text = pool.unique("text")
                await say(ada, text)
                # A process that handles nothing while it reads a history may be right: give up before its member does.
                with contextlib.suppress(Failure, TimeoutError):
                    async with asyncio.timeout(linus.tab.patience / 2):
                        has_it = lambda: any(each["text"] == text for each in linus.messages)  # noqa: E731
                        await linus.until(has_it, expect="a message", likely=ORDER.missing, after="Ada sent one")

            for after_it in (False, True):
                for place in range(1, PLACES + 1):
                    if not await self._joins_as_first(cluster, proxy, behind, handled, place, after_it):
                        break

    @staticmethod
    async def _joins_as_first(
        cluster: Cluster,
        proxy: RedisProxy,
        behind: Subject,
        handled: Callable[[], Awaitable[None]],
        place: int,
        after_it: bool,
    ) -> bool:
        """Let a member be the first in a room at a process, while another process publishes one message, and the last.

        Args:
            cluster: the other processes.
            proxy: the proxy of the process.
            behind: the process.
            handled: waits until the process has handled what was published before.
            place: the number of the process's command at which the message is published.
            after_it: whether it's published when Redis has run that command, and not before.

        Returns:
            Whether the process sends so many commands.

        Raises:
            Failure: the member doesn't receive the message.
        """
        room = pool.unique("lobby")
        async with at(cluster[1], room, "Zoe") as zoe:

            async def publish() -> None:
                await say(zoe, "between")
                await zoe.until(
                    lambda: len(zoe.messages) == 2, expect="her message", likely=ORDER.missing, after="Zoe sent one"
                )
                # With the reply to SUBSCRIBE, the proxy holds all that's published back.
                if "SUBSCRIBE" not in stop.commands[-1]:
                    await handled()

            await say(zoe, "first")
            await zoe.until(lambda: bool(zoe.messages), expect="message 1", likely=ORDER.missing, after="Zoe sent one")
            stop = proxy.stop_before(room, place, publish, after=after_it)
            try:
                async with at(behind, room, "Grace", after=0) as grace:
                    if not stop.ran:
                        return False
                    when = "after" if after_it else "before"
                    what = f"Grace joined as the first member at her process, and Zoe sent a message {when} Redis ran "
                    what += f"command {place} of that process: {', '.join(stop.commands[:PLACES])}"
                    # SUBSCRIBE may arrive after the message.
                    with contextlib.suppress(Failure):
                        await grace.settles(likely="")
                    likely = SUBSCRIBED_LATE if any("SUBSCRIBE" in each for each in stop.commands) else IGNORED
                    causes = Causes(missing=likely, gap=likely, twice=likely, order=likely, number=likely)
                    await receives(grace, list(zoe.messages), after=what, causes=causes)
            finally:
                await stop.end()
            if stop.failed:
                raise stop.failed
        return True

    @check(4, "publishes a key once, if another process gets it between two commands")
    @explained
    async def test_key_between(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        after = (
            "Ada sent a message with a key, and the same again at another process, between two commands of the first"
        )
        causes = Causes(missing=LOOKED_UP, gap=LOOKED_UP, twice=LOOKED_UP, order=LOOKED_UP, number=LOOKED_UP)
        async with enter_scene(subject, after, causes) as scene, at(cluster[2], scene.room, "Ada") as second:

            async def again(place: int) -> None:
                key = f"Ada {place}"
                await say(second, key, key=key)
                await second.until(lambda: key in second.acks, expect=f"an ack of {key}", likely=LOOKED_UP, after=after)

            async def act(place: int) -> None:
                key = f"Ada {place}"
                await scene.ada_says(key)
                if key not in second.acks:
                    await again(place)
                await scene.zoe_says(f"after {place}")
                await scene.agree(scene.zoe, scene.ada)
                await receives(second, scene.zoe.messages[1:], after=after, causes=causes)
                ids = [each["id"] for each in scene.zoe.messages if each["text"] == key]
                if ids != [scene.ada.acks[key]] or ids != [second.acks[key]]:
                    got = (
                        f"the message with the id {ids[0]}, and acks with {scene.ada.acks[key]} and {second.acks[key]}"
                    )
                    raise Failure(after=after, got=got, expect=f"both acks with the id {ids[0]}", likely=LOOKED_UP)

            await scene.before_each(act, again)
