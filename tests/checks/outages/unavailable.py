"""Step 11, TODO 4: errors instead of silence while Redis is unavailable."""

import asyncio
import contextlib
from typing import Any

from judge.clients import ClientConnection, anything
from judge.cluster import NO_REDIS, Cluster, MemberLog, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject, again
from judge.tasks import running
from redis.asyncio import Redis

from ..scale_out.every_process import EVERYWHERE, are, said
from .starter import CHAT, suspecting

UNAVAILABLE = (
    "Your process doesn't answer during the outage: a call of the broker waits, or it returns without an error. Pass "
    "socket_timeout=3 to Redis.from_url(), and raise BrokerUnavailable in every call as long as there's no "
    "subscription."
)
SILENT = (
    "Your endpoint reads the message and sends no error. Either publish() or publish_transient() returns without one "
    "in an outage: raise BrokerUnavailable. Or BrokerUnavailable is dropped: leave chat.py as it is, which sends the "
    "error."
)
WAITS = (
    "publish() or publish_transient() waits during the outage. Raise BrokerUnavailable immediately if not "
    "self.connected, and pass socket_timeout=3 to Redis.from_url()."
)
CLOSES = (
    "Your code closes a tab that sends during an outage. Raise BrokerUnavailable in publish() and publish_transient(): "
    "chat.py sends an error for it, and the connection stays open."
)
LET_THROUGH = (
    "Your code lets the error reply OutOfMemoryError through, instead of raising BrokerUnavailable. Catch "
    "ResponseError, its base class, where you catch ConnectionError, and compare neither its class nor its text."
)
BACK = (
    "Your process doesn't read what it missed during the outage. After it has subscribed again, set "
    "self.connected = True, and await self.listener.resync()."
)
NOT_RESYNCED = (
    "Your process raises BrokerUnavailable although Redis is available again. Either it doesn't subscribe again, or "
    "self.connected stays False: set it to True before you await resync(), because resync() calls the broker."
)
EMPTY = (
    "In an outage, your read_history() or update_presence() returns without an error, as if the room were empty. Raise "
    "BrokerUnavailable there too: chat.py answers it with 503."
)
NO_503 = (
    "A call of your broker raises an error of redis-py in an outage, or returns a result. Raise BrokerUnavailable in "
    "every method: chat.py and members.py answer it with 503."
)
REPLIES = (
    "Your code doesn't treat an error reply as an outage: redis-py raises ResponseError for it, which is neither a "
    "ConnectionError nor a TimeoutError. Catch it where you catch those, and raise BrokerUnavailable."
)
ONE_REPLY = (
    "A call of your code doesn't treat this error reply as an outage. Catch redis.exceptions.ResponseError, the base "
    "class of all error replies, in every call, and compare neither its class nor its text."
)
RESUBSCRIBES = (
    "Your process doesn't subscribe again after the outage, so it gets no messages. Catch its error in a loop, and "
    "subscribe again after a short delay until Redis is available."
)
REPEATED = (
    "Your process sends the command to Redis a second time after its reply was lost, although Redis has run it. Either "
    "redis-py does that: pass retry=Retry(NoBackoff(), 0) to each Redis.from_url(). Or your code does: raise "
    "BrokerUnavailable instead, because only the client can decide to repeat a message."
)
NO_KEY = (
    'The error isn\'t the one that chat.py sends for BrokerUnavailable: with a key, it has this key and "retry": true; '
    "without a key, it has neither. Raise BrokerUnavailable in publish() and publish_transient(), and leave chat.py as "
    "it is."
)
EMPTY_LIST = (
    "Your get_presence() doesn't raise BrokerUnavailable after a lost reply: it returns a list, or raises the error of "
    "redis-py. Raise BrokerUnavailable there too: members.py answers it with 503."
)
LOST_KEY = (
    "The repeated message isn't recognized by its key. The key must be stored in the script that stores the message, "
    "so Redis has both or neither."
)
READS_FIRST = (
    "Your process resyncs before it subscribes, so it misses a message that's sent in between. Await the confirmation "
    "of psubscribe() first, and then await self.listener.resync()."
)
UNCONFIRMED = (
    "Your DELETE is answered before the process of the member has closed the tabs: your broker delivers a removed "
    "event that this process hasn't sent. Only the process of the tabs publishes removed, after it has closed them."
)
LEFT_MEANWHILE = (
    "A name whose last tab was closed during the outage stays on the list. Raise BrokerUnavailable in "
    "update_presence() during an outage, so manager.py sends the room again, and pass [] to UPDATE_PRESENCE for it."
)
WITHIN = 5.0
"""The limit for every process to deliver messages again after an outage, in seconds."""
ERRORS = (
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "READONLY You can't write against a read only replica.",
    "BUSY Redis is busy running a script.",
    "LOADING Redis is loading the dataset in memory",
)
"""Error replies of a Redis that can't do its work."""


async def try_until_acknowledged(
    log: MemberLog,
    text: str,
    key: str,
    *,
    after: str,
    likely: str,
    refused: str = NOT_RESYNCED,
    seconds: float = 10,
) -> int:
    """Send a message repeatedly with the same key, as a client does after an error, until it's acknowledged.

    Args:
        log: the log of the sender's tab.
        text: the text of the message.
        key: the key of the message.
        after: the preceding events, for the message of a failure.
        likely: the likely cause if no answer arrives.
        refused: the likely cause if every answer is an error.
        seconds: the limit for the acknowledgement.

    Returns:
        The id from the acknowledgement.

    Raises:
        Failure: an attempt gets no answer within 4 s, or none is acknowledged in time.
    """
    expect = f"an acknowledgement of the key {key}, or an error"
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        errors = len(log.errors)
        await say(log, text, key=key)

        def answered(errors: int = errors) -> bool:
            return key in log.acks or len(log.errors) > errors

        await log.until(answered, expect=expect, likely=likely, after=after, seconds=4)
        if key in log.acks:
            return log.acks[key]
        await asyncio.sleep(0.05)
    got = f"an error for every try, for {seconds:g} s"
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
    try:
        await log.until(
            lambda: len(log.errors) > before or key in log.acks, expect=expect, likely=likely, after=after, seconds=4
        )
    except Failure as failure:
        if likely == REPLIES and "code 1006" in failure.got:
            failure.likely, failure.certain = LET_THROUGH, True
        elif likely == UNAVAILABLE and "code 1013" in failure.got:
            failure.likely = CLOSES
        elif likely == UNAVAILABLE and "no answer" in failure.got:
            failure.likely = await _silent_or_waiting(log)
        raise
    if key in log.acks:
        likely = (
            "Your publish() returns an id, although Redis doesn't have the message. Raise BrokerUnavailable instead."
        )
        raise Failure(after=after, got=f"an ack with the id {log.acks[key]}", expect=expect, likely=likely)
    error = {name: value for name, value in log.errors[-1].items() if name in ("key", "retry")}
    if error != wanted:
        raise Failure(after=after, got=show(log.errors[-1]), expect=expect, likely=NO_KEY)


async def _silent_or_waiting(log: MemberLog) -> str:
    """Return why a message got no answer: the endpoint has read the next frame, or still waits."""
    try:
        await log.settles(likely="")
    except Failure:
        return WAITS
    return SILENT


async def refuses_for_now(
    host: Subject, room: str, *, name: str = "Linus", last: int | None = None, after: str, likely: str = ""
) -> None:
    """Check that a handshake gets HTTP 503 in an outage, or the close code 1013 after `accept`.

    Args:
        host: the server.
        room: the room.
        name: the name of the member.
        last: the id after which the member resumes; None for a new member.
        after: the preceding events, for the message of a failure.
        likely: the likely cause; by default one that depends on the answer.

    Raises:
        Failure: it gets another answer.
    """
    query = {} if last is None else {"after": str(last)}
    answer = await host.handshake(Members.path(room, name, **query))
    got, cause = f"HTTP {answer}", NO_503 if answer == 500 else EMPTY
    if isinstance(answer, ClientConnection):
        got = "the connection accepted, and still open"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * host.patience):
                await answer.wait_closed()
            got = f"the connection closed with the code {answer.close_code}"
        await answer.close()
    if got not in ("HTTP 503", "the connection closed with the code 1013"):
        expect = "HTTP 503, or the close code 1013 after the connection was accepted"
        sent = "a handshake" + f" with after={last}" * (last is not None)
        raise Failure(sent=sent, after=after, got=got, expect=expect, likely=likely or cause)


async def unavailable_over_http(
    host: Subject, method: str, path: str, *, after: str, likely: str = NO_503, **options: Any
) -> None:
    """Check that a request gets HTTP 503 in an outage.

    Raises:
        Failure: it gets another answer.
    """
    answer = await host.request(method, path, likely=UNAVAILABLE, **options)
    if answer.status_code != 503:
        got = f"status {answer.status_code}"
        raise Failure(sent=f"{method} {path}", after=after, got=got, expect="status 503", likely=likely)


class Unavailable:
    @check(4, "answers with errors while Redis is unavailable, and delivers messages again after that")
    async def test_unavailable(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            own_cluster(subject, 2) as cluster,
            at(cluster[0], room, "Ada") as ada,
            at(cluster[1], room, "Grace") as grace,
        ):
            await say(ada, "text 1")
            for log in (ada, grace):
                await said(log, 1, after="Ada sent a message", likely=EVERYWHERE)
            removes = "remove() waits until each process with the tabs has confirmed that they're closed"
            with suspecting(subject, "manager.py", removes):
                await self._waits_for_the_process(cluster, room)
            async with at(cluster[0], room, "Zoe"):
                await are(cluster, room, "Ada", "Grace", "Zoe", after="Ada, Grace and Zoe joined")
                await asyncio.to_thread(cluster.redis.kill)
            for log, kind, more in (
                (ada, "message", {}),
                (grace, "direct", {}),
                (grace, "message", {}),
                (grace, "message", {"key": "in the outage"}),
            ):
                request = {"type": kind, "to": "Ada", "text": "in the outage"} | more
                with suspecting(subject, "chat.py", CHAT):
                    await gets_an_error(log, request, after=f"Redis was killed, and then a {kind} was sent")
            for host in cluster.servers:
                await refuses_for_now(host, room, after="Redis was killed")
                # Without the history, this process doesn't know whether the id exists: 403 is fatal for a client.
                await refuses_for_now(host, Members.room("other"), last=5, after="Redis was killed")
                for method, path in (("GET", Members.list_path(room)), ("DELETE", f"{Members.list_path(room)}/Ada")):
                    await unavailable_over_http(host, method, path, after="Redis was killed")
            await asyncio.to_thread(cluster.redis.start)
            after = "Redis was killed and started again"
            await self._delivers_again(ada, grace, after)
            await self._delivers_again(grace, ada, after)
            after += "; Zoe's last tab was closed during the outage"
            await are(cluster, room, "Ada", "Grace", after=after, likely=LEFT_MEANWHILE)
            if NO_REDIS:
                return
            async with Redis.from_url(cluster.redis.url) as redis:
                await redis.config_set("maxmemory", 1)
                after = "Redis had no memory left, so it answered every write with OOM; then a message was sent"
                for log in (ada, grace):
                    request = {"type": "message", "text": "hello", "key": "out of memory"}
                    await gets_an_error(log, request, after=after, likely=REPLIES)
                await redis.config_set("maxmemory", 0)
            await self._delivers_again(ada, grace, "Redis had no memory left, and then it had some again")

    @staticmethod
    async def _waits_for_the_process(cluster: Cluster, room: str) -> None:
        """Check that DELETE isn't answered as long as the process of the member does nothing."""
        path = f"{Members.list_path(room)}/Linus"
        async with at(cluster[1], room, "Linus") as linus:
            request = cluster[0].request("DELETE", path, likely=UNCONFIRMED, timeout=WITHIN)
            async with running(request) as (removing,):
                with cluster[1].suspended():
                    # Each answer needs a round trip to Redis, so a DELETE that doesn't wait is answered meanwhile.
                    # On a busy machine, three are enough: a process that's suspended for long loses its subscription.
                    end = asyncio.get_running_loop().time() + 0.3
                    for number in range(10):
                        if number > 2 and asyncio.get_running_loop().time() > end:
                            break
                        await cluster[0].get(Members.list_path(room), likely=UNCONFIRMED)
                    is_early = removing.done()
                answer = await removing
            if is_early or answer.status_code != 204:
                after = "Linus is in the room at another process, which was suspended for a moment"
                got = f"status {answer.status_code}" + " while that process was suspended" * is_early
                expect = "no answer until that process has closed the tabs of Linus, and then 204"
                likely = UNCONFIRMED if is_early else UNAVAILABLE
                raise Failure(sent=f"DELETE {path}", after=after, got=got, expect=expect, likely=likely)
            await linus.tab.is_closed(1008, "removed", likely=UNCONFIRMED, besides=anything)

    @check(4, "sends each command to Redis once, and treats every error reply as an outage")
    async def test_commands(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            own_cluster(subject, 1, taps=1) as cluster,
            at(cluster[0], room, "Ada") as ada,
            at(cluster[0], room, "Grace") as grace,
        ):
            await say(ada, "text 1")
            for log in (ada, grace):
                await said(log, 1, after="Ada sent a message", likely=EVERYWHERE)
            await self._loses_replies(cluster, room, ada, grace)
            if not NO_REDIS:
                await self._rejects(cluster, room, ada, grace)

    async def _loses_replies(self, cluster: Cluster, room: str, ada: MemberLog, grace: MemberLog) -> None:
        """Lose the reply to a command of each kind, after Redis has run it."""
        (tap,), host = cluster.taps, cluster[0]
        lost = "Redis ran the command, and then the connection was reset before its reply"
        for kind, more in (("message", {}), ("message", {"key": "lost reply"}), ("direct", {"to": "Grace"})):
            text = f"this reply is lost: {kind} {more}"
            tap.sent, tap.lose = 0, text.encode()
            errors, acks = len(ada.errors), dict(ada.acks)
            await ada.tab.send({"type": kind, "text": text} | more)
            after = f"Ada sent a {kind} {'with a key' if 'key' in more else 'without a key'}; {lost}"

            def answered(errors: int = errors, acks: dict[str, int] = acks) -> bool:
                return len(ada.errors) > errors or ada.acks != acks

            expect = 'an error to Ada, with her key and "retry": true if she sent a key'
            try:
                await ada.until(answered, expect=expect, likely=REPEATED, after=after, seconds=4)
            except Failure:
                await self._sent_once(cluster, after)
                raise
            await self._sent_once(cluster, after)
            wanted = {"key": "lost reply", "retry": True} if "key" in more else {}
            got = {name: value for name, value in ada.errors[-1].items() if name in ("key", "retry")}
            if got != wanted:
                raise Failure(after=after, got=show(ada.errors[-1]), expect=expect, likely=NO_KEY)
            if "key" in more:
                await try_until_acknowledged(ada, text, "lost reply", after=after, likely=UNAVAILABLE)
                after += "; then Ada sent it again with the same key"
            received = grace.directs if kind == "direct" else grace.messages
            await grace.until(
                lambda received=received, text=text: any(each["text"] == text for each in received),
                expect="Grace receives it once, because Redis has run the command",
                likely=EVERYWHERE,
                after=after,
            )
            for log in (ada, grace):
                await log.settles(likely=REPEATED)
            if (count := [each["text"] for each in received].count(text)) != 1:
                likely = REPEATED if count > 1 and "key" not in more else LOST_KEY if count > 1 else EVERYWHERE
                got = f"Grace received it {count} times"
                raise Failure(after=after, got=got, expect="Grace receives it once", likely=likely)
        tap.sent, tap.lose = 0, (other := Members.room("other")).encode()
        after = f"{lost}: the first command for this room"
        try:
            await unavailable_over_http(host, "GET", Members.list_path(other), after=after, likely=EMPTY_LIST)
        finally:
            # Sent twice explains a wrong status too.
            await self._sent_once(cluster, f"GET {Members.list_path(other)}; {lost}")
        tap.sent, tap.lose = 0, b"Barbara"
        await refuses_for_now(host, room, name="Barbara", after=f"{lost}: the command with the name", likely=REPEATED)
        await self._sent_once(cluster, f"Barbara joined; {lost}")
        tap.lose = b""

    @staticmethod
    async def _sent_once(cluster: Cluster, after: str) -> None:
        if (count := cluster.taps[0].sent) != 1:
            got = f"the command was sent to Redis {count} times" if count else "no command was sent to Redis"
            raise Failure(after=after, got=got, expect="it's sent once", likely=REPEATED if count else EVERYWHERE)

    @staticmethod
    async def _rejects(cluster: Cluster, room: str, ada: MemberLog, grace: MemberLog) -> None:
        """Let Redis reject commands with different error replies."""
        (tap,), host = cluster.taps, cluster[0]
        last = len(ada.messages)
        for number, error in enumerate(ERRORS):
            tap.error, tap.reject = error.encode(), b"rejected by Redis"
            after = f'Redis answered with "{error}"'
            for request in (
                {"type": "message", "text": f"rejected by Redis {number}", "key": f"rejected {number}"},
                {"type": "direct", "to": "Grace", "text": "rejected by Redis"},
            ):
                sent = f"{after}; then Ada sent a {request['type']}"
                await gets_an_error(ada, request, after=sent, likely=ONE_REPLY)
            other = Members.room("other")
            tap.reject = other.encode()
            await unavailable_over_http(host, "GET", Members.list_path(other), after=after, likely=ONE_REPLY)
            await refuses_for_now(host, other, after=after, likely=ONE_REPLY)
            tap.reject = b""
        await try_until_acknowledged(
            ada, "works again", "works again", after=f"{after}, and then no longer", likely=UNAVAILABLE
        )
        for log in (ada, grace):
            await log.until(
                lambda log=log: len(log.messages) > last, expect='"works again"', likely=RESUBSCRIBES, after=after
            )
            await log.settles(likely=UNAVAILABLE)
            texts = [each["text"] for each in log.messages[last:]]
            if texts != ["works again"]:
                got = f"{show(texts)} after the error replies"
                raise Failure(after=after, got=got, expect='the message "works again", once', likely=REPEATED)

    @staticmethod
    async def _delivers_again(sender: MemberLog, receiver: MemberLog, after: str) -> None:
        """Let a member send messages until one is delivered to the other member, at another process."""
        before = len(receiver.messages)
        end = asyncio.get_running_loop().time() + WITHIN
        number = 0
        async for _ in again():
            number += 1
            text = f"{after}: {number}, {len(sender.messages)}"
            await try_until_acknowledged(
                sender, text, text[-64:], after=after, likely=UNAVAILABLE, refused=RESUBSCRIBES
            )
            await receiver.settles(likely=RESUBSCRIBES)
            if len(receiver.messages) > before:
                return
            if asyncio.get_running_loop().time() > end:
                got = f"{number} messages were acknowledged, and a member at another process got none of them"
                expect = "each message at both processes"
                raise Failure(after=after, got=got, expect=expect, likely=RESUBSCRIBES)
