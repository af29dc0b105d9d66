"""Step 13, TODO 8: a client that keeps a copy of the server's values."""

import asyncio
import contextlib

from judge.conversation import pause
from judge.messages import show
from judge.mirrors import Feed, MirrorServer, mirror_server, show_state
from judge.model import Failure, check
from judge.subject import Subject
from judge.viewers import COUNTED, expected, feed_server
from workshop.network import Network

STALE = 1.0
"""The time without a message after which a mirror is stale, in seconds."""
COMES_BACK = 8.0
"""The longest wait for a reconnect, in seconds. The first delays of step 09 are much shorter."""
SPEED = 10
"""Seconds of the mirror's clock for each real second, in the check of its delays."""
REFUSED = 12.0
"""The time for which the server refuses handshakes, and then for which it closes connections, in these seconds."""
MOST_REFUSED = 10
"""Attempts in the first of these times. With the delays of step 09, there are four or five."""
MOST_DROPPED = 6
"""Attempts in the second one, after the first of them. There are one or two."""
FIRST_DELAY = 0.5
"""The longest first delay of step 09, in these seconds."""
SHORT = 2.0
"""The limit for the first delay after a snapshot, in these seconds. It's at most 0.5 s in step 09."""
CONNECTS = "Your client doesn't connect to the server. In __aenter__, start a task that calls connect(self.url)."
SNAPSHOT = (
    "Your client doesn't take the snapshot over. Replace values and seq by those of the snapshot, without an await "
    "in between."
)
APPLY = "Your client doesn't apply values. If first is seq + 1, update values with them, and set seq to last."
ONLY_NEWEST = "Your client replaces all values by those of the last message. Update the dict, topic by topic."
NO_RESYNC = (
    "Your client doesn't detect a gap. If the first of a message isn't seq + 1, don't apply it: send the subscribe "
    "again, and wait for the snapshot."
)
RECONNECTS = (
    "Your client closes the connection after a gap. Send another subscribe on the same connection: the server answers "
    "it with a snapshot."
)
OVERLAP = (
    "Your client takes only a missing range for a gap. This one overlaps with the samples that it has, which can't "
    "happen on a whole connection. Ask for a snapshot if first isn't seq + 1, whether it's more or less."
)
STORM = (
    "Your client sends a subscribe for each message after a gap. Remember that you've sent one, until the snapshot "
    "arrives."
)
APPLIED = "Your client applies values after a gap, before the snapshot. Until the snapshot arrives, throw them away."
CLEARED = "Your client forgets its values after a gap. Keep them, with their seq, until the snapshot replaces them."
APPLIED_AT_START = (
    "Your client applies values of a new connection before its snapshot. Each subscribe, also the first one of a "
    "connection, begins a time in which values are thrown away, until the snapshot arrives."
)
ENDS_ON_ERROR = (
    "After an error of the server, your client applies no values any longer. Log a warning for the error, and continue "
    "with the next message on the same connection."
)
OLDER = (
    "Your client applies values that are older than its own, or takes them for a gap. If last isn't greater than seq, "
    "throw the message away."
)
KEPT = "Your client keeps a value that isn't in the snapshot. Replace the whole dict."
NEVER_STALE = (
    "stale stays False although nothing arrives. Store the time of each received message, and compare it with the "
    "event loop's time() in a property."
)
EMPTY = (
    "stale is False before the first message arrives, although values is still empty. Return True as long as you've "
    "stored no time of a message."
)
ALWAYS_STALE = "stale is True although messages arrive. Store the time of each received message."
LOST = (
    "Your client doesn't come back after a lost connection. Catch OSError and WebSocketException around connect() and "
    "the loop over its messages, and connect again after a delay."
)
TOO_FAST = (
    "Your client connects again without a delay, or with a constant short one. Sleep before attempt n, counted from 0, "
    "for a random time between half and all of min(cap, base * 2**n), as in step 09."
)
HANDSHAKE_RESETS = (
    "Your client starts again with the shortest delay as soon as a connection opens. Set the number of attempts back "
    "to 0 when a snapshot arrives."
)
NOT_RESET = (
    "Your client's delays keep growing, although it has received a snapshot meanwhile. Set the number of attempts back "
    "to 0 when one arrives."
)
NO_JITTER = (
    "Your client's delays aren't random, so all clients of a restarted server reconnect at the same time. Sleep for "
    "random.uniform(delay / 2, delay)."
)
RESTARTED = (
    "Your client doesn't take over the snapshot of a server that was restarted: its seq is lower than before, and its "
    "topics are others. Replace values and seq by those of each snapshot, whatever seq is."
)
FORGETS = (
    "Your client forgets its values when the connection is lost. Keep them until the next snapshot; stale shows it."
)
TOO_SHORT = (
    "Your client's delays are shorter than half of min(10, 0.5 * 2**attempt), where the first attempt is 0. Sleep for "
    "random.uniform(delay / 2, delay)."
)
NO_CAP = (
    "Your client's delays grow without a limit, so it still waits long after the server accepts connections. Sleep "
    "for at most 10 s: min(10, 0.5 * 2**attempt)."
)
LONGEST = 10.1
"""The longest delay, in these seconds, with some time for its computation."""
CLEAN = (
    "Your client ends with a close of the code 1000 or 1001. Then the loop over the messages ends without an "
    "exception: connect again after it, too."
)
STALE_AT_THE_END = (
    "stale is True as soon as the connection is lost. It says only whether nothing has arrived for a second, so a "
    "short interruption doesn't show: keep the time of the last message."
)
NO_WARNING = "Your client logs no warning for an error of the server. Call logger.warning(), so that it's seen."
OTHER_TYPES = (
    "After a message of another type, such as an alert, your client doesn't apply values. Ignore such "
    "messages, because later versions of a server may send more types."
)
OLD_UNSEEN = (
    "Your client doesn't answer values that it throws away, so the server counts them as unseen, and sends no more. "
    "Send the seen before you look at first and last."
)
LEFT = "A task of your client still runs after async with. Cancel each task in __aexit__, and await it."
DIFFERS = "The values aren't those of the server at this seq. Set values and seq together, without an await in between."


def is_near(delay: float, delays: list[float]) -> bool:
    """Return whether one of these delays is this one, in spite of the time that its computation took."""
    return any(abs(each - delay) < 0.02 * delay for each in delays)


class Mirrors:
    @check(8, "mirrors the snapshot and the values, and answers seen")
    async def test_mirror(self, subject: Subject) -> None:
        async with mirror_server(subject) as fake:
            feed = await self._synced(fake)
            await feed.values(11, 11, cpu=5.0)
            await feed.seen(11)
            only_newest = {"cpu": 5.0}
            await fake.has(
                11, likely=lambda now: ONLY_NEWEST if now["values"] == only_newest else APPLY, cpu=5.0, memory=2.0
            )
            await feed.values(12, 40, memory=6.0, disk=7.0)
            await feed.seen(40)
            await fake.has(40, likely=ONLY_NEWEST, cpu=5.0, memory=6.0, disk=7.0)
            exited = await fake.ask("exit")
            if exited["tasks"]:
                got = f"unfinished tasks: {', '.join(exited['tasks'])}"
                raise Failure(after="the end of async with", got=got, expect="no task of the mirror", likely=LEFT)

    @staticmethod
    async def _synced(fake: MirrorServer) -> Feed:
        """Return the connection of a mirror that has received a snapshot."""
        await fake.enter()
        feed = await fake.feed(likely=CONNECTS)
        await feed.subscribed()
        await feed.snapshot(10, cpu=1.0, memory=2.0)
        await fake.has(10, likely=SNAPSHOT, cpu=1.0, memory=2.0)
        return feed

    @check(8, "asks for one snapshot after a gap, and applies nothing before it")
    async def test_gap(self, subject: Subject) -> None:
        async with mirror_server(subject) as fake:
            feed = await self._synced(fake)
            fake.after = "a snapshot with the seq 10, and the gap is the sample 11"
            await feed.values(12, 12, cpu=5.0)
            await feed.subscribed(likely=NO_RESYNC, closed=RECONNECTS)
            for first, last, cpu in ((13, 13, 6.0), (20, 21, 7.0), (11, 11, 8.0)):
                await feed.values(first, last, cpu=cpu)
                await feed.processed()
            state = await fake.ask()
            if state["values"] != {"cpu": 1.0, "memory": 2.0}:
                likely = APPLIED if state["values"] else CLEARED
                raise fake.failure(show_state(state), 'mirror.values {"cpu": 1.0, "memory": 2.0}', likely)
            await feed.snapshot(30, cpu=9.0, disk=3.0)
            await fake.has(30, likely=lambda now: KEPT if "memory" in now["values"] else SNAPSHOT, cpu=9.0, disk=3.0)
            for state in fake.states:
                if state["values"].get("cpu") in (5.0, 6.0, 7.0, 8.0):
                    raise fake.failure(show_state(state), "no values of these messages before the snapshot", APPLIED)
            await feed.values(31, 31, cpu=10.0)
            await fake.has(31, likely=APPLY, cpu=10.0, disk=3.0)
            while (message := await feed.next(expect='{"type": "seen", "last": 31}', likely=APPLY)) != {
                "type": "seen",
                "last": 31,
            }:
                if isinstance(message, dict) and message.get("type") == "subscribe":
                    fake.did = "values after a gap, and then the snapshot"
                    raise fake.failure("a second subscribe", "one subscribe for each gap", STORM)
            # An overlap is a gap too: its values can't be told from those of the samples that the mirror has.
            fake.after = "values up to the seq 31"
            await feed.values(30, 33, cpu=11.0)
            await feed.subscribed(likely=OVERLAP, closed=RECONNECTS)

    @check(8, "throws older values away")
    async def test_older(self, subject: Subject) -> None:
        async with mirror_server(subject) as fake:
            feed = await self._synced(fake)
            fake.after = "a snapshot with the seq 10"
            await feed.values(8, 9, cpu=5.0)
            await feed.values(10, 10, cpu=6.0)
            await feed.values(11, 12, memory=7.0)
            await fake.has(12, likely=OLDER, cpu=1.0, memory=7.0)
            for state in fake.states:
                if state["values"].get("cpu") in (5.0, 6.0):
                    raise fake.failure(show_state(state), "no older values", OLDER)
            await feed.send({"type": "error", "detail": "unknown topic"})
            await feed.values(13, 13, cpu=2.0)
            await fake.has(13, likely=ENDS_ON_ERROR, cpu=2.0, memory=7.0)
            if not (await fake.ask())["warnings"]:
                raise fake.failure("no warning in the log", "a warning for the error of the server", NO_WARNING)
            await feed.send({"type": "alert", "text": "cpu is above 90 %"}, {"type": "news"})
            await feed.values(14, 14, cpu=3.0)
            await fake.has(14, likely=OTHER_TYPES, cpu=3.0, memory=7.0)
            lasts: set[int] = set()
            while 14 not in lasts:
                message = await feed.next(expect='{"type": "seen", "last": 14}', likely=OLDER)
                if isinstance(message, dict) and message.get("type") == "subscribe":
                    raise fake.failure("a subscribe", "no subscribe for older values", OLDER)
                lasts.add(message.get("last") if isinstance(message, dict) else None)
            if unanswered := {9, 10} - lasts:
                fake.did = show({"type": "values", "first": 10, "last": max(unanswered), "values": {"cpu": 6.0}})
                expect = f'{{"type": "seen", "last": {max(unanswered)}}}'
                raise fake.failure("no seen for it", expect, OLD_UNSEEN)

    @check(8, "is stale when nothing has arrived for a second", pauses=True)
    async def test_stale(self, subject: Subject) -> None:
        async with mirror_server(subject) as fake:
            await fake.enter()
            feed = await fake.feed(likely=CONNECTS)
            await feed.subscribed()
            fake.after = "async with, before the first message"
            if not (await fake.ask())["stale"]:
                raise fake.failure("mirror.stale is False", "mirror.stale is True before the first message", EMPTY)
            fake.after = None
            await feed.snapshot(10, cpu=1.0, memory=2.0)
            await fake.has(10, likely=SNAPSHOT, cpu=1.0, memory=2.0)
            fake.after = "a snapshot, and messages with values every 0.2 s"
            await pause(0)
            last, before = 10, len(fake.states)
            longest = 0.0
            loop = asyncio.get_running_loop()
            for _ in range(8):
                start = loop.time()
                await asyncio.sleep(0.2)
                last += 1
                await feed.values(last, last, cpu=float(last))
                await fake.has(last, likely=APPLY, cpu=float(last), memory=2.0)
                longest = max(longest, loop.time() - start)
            # If the machine was busy, this decides nothing.
            if longest < STALE / 2 and any(state["stale"] for state in fake.states[before:]):
                raise fake.failure("mirror.stale is True", "mirror.stale is False while messages arrive", ALWAYS_STALE)
            silence = f"no message for {STALE:g} s"
            fake.after = silence
            await fake.until(lambda state: state["stale"], expect="mirror.stale is True", likely=NEVER_STALE)
            last += 1
            fake.after = f"{silence}, and then values"
            await feed.values(last, last, cpu=0.0)
            await fake.until(lambda state: not state["stale"], expect="mirror.stale is False", likely=ALWAYS_STALE)
            # After a gap, so a snapshot is the next message. A server sends none that isn't asked for.
            await feed.values(last + 2, last + 2, cpu=0.0)
            await feed.subscribed(likely=NO_RESYNC, closed=RECONNECTS)
            fake.after = silence
            await fake.until(lambda state: state["stale"], expect="mirror.stale is True", likely=NEVER_STALE)
            fake.after = f"{silence}, and then a snapshot"
            # Any message shows that the connection works, so a snapshot does too.
            start = loop.time()
            await feed.snapshot(last + 3, cpu=0.0)
            await fake.until(
                lambda state: not state["stale"] and state["seq"] == last + 3,
                expect=f"mirror.stale is False, mirror.seq {last + 3}",
                likely=ALWAYS_STALE,
            )
            await feed.drop()
            # It connects again after half a second at most; otherwise, another check fails.
            with contextlib.suppress(Failure):
                await fake.feed(likely=LOST, seconds=STALE)
            is_stale = (await fake.ask())["stale"]
            if is_stale and loop.time() - start < 0.9 * STALE:
                fake.after = f"a snapshot, less than {STALE:g} s before"
                raise fake.failure("mirror.stale is True", "mirror.stale is False", STALE_AT_THE_END)

    @check(8, "reconnects with growing delays, and keeps its values meanwhile", pauses=True)
    async def test_reconnects(self, subject: Subject) -> None:
        async with mirror_server(subject, speed=SPEED) as fake:
            feed = await self._synced(fake)
            await fake.ask()
            before = fake.attempts
            fake.after = "the server refuses handshakes with HTTP 503"
            fake.refuses = True
            await feed.drop()
            await self._attempts(fake, MOST_REFUSED, "four or five", TOO_FAST)
            state = await fake.ask()
            if state["values"] != {"cpu": 1.0, "memory": 2.0}:
                raise fake.failure(show_state(state), 'mirror.values {"cpu": 1.0, "memory": 2.0}', FORGETS)
            delays = state["delays"]
            if len(delays) > 3 and max(delays) < 3 * min(delays):
                got = f"delays of {', '.join(f'{each:.2f}' for each in delays)} s"
                raise fake.failure(got, "delays that grow", TOO_FAST)
            if any(all(is_near(2**n * each, state["delays"]) for n in range(4)) for each in state["delays"]):
                got = f"delays of {', '.join(f'{each:.2f}' for each in state['delays'])} s"
                raise fake.failure(got, "random delays", NO_JITTER)
            fake.drops, fake.refuses = True, False
            fake.did = "a close frame with the code 1013, right after each handshake"
            fake.after = "the server has refused handshakes with HTTP 503"
            await fake.attempted(fake.attempts + 1, likely=LOST, seconds=COMES_BACK)
            await self._attempts(fake, MOST_DROPPED, "one or two", HANDSHAKE_RESETS)
            later = await fake.ask()
            short = [each for each in later["delays"] if FIRST_DELAY / 2 <= each <= FIRST_DELAY]
            if len(short) > 1:
                got = f"delays of {', '.join(f'{each:.2f}' for each in short)} s"
                raise fake.failure(got, "longer delays than before", HANDSHAKE_RESETS)
            attempts = fake.attempts - before
            # On a busy machine, an answer without a delay may attempt no more often than one with delays.
            if attempts > 3 and not (delays or later["delays"] or later["library_sleeps"]):
                raise fake.failure(f"{attempts} attempts, and no sleep", "a delay before each attempt", TOO_FAST)
            self._are_delays(fake, state["sleeps"] + later["sleeps"], attempts)
            fake.drops = False
            fake.after = "the server has refused or closed all connections for a while"
            feed = await self._back(fake)
            # A server that was restarted counts from 1 again, and has other topics.
            await feed.values(11, 12, cpu=3.0)
            await feed.processed()
            if (state := await fake.ask())["values"] != {"cpu": 1.0, "memory": 2.0}:
                raise fake.failure(show_state(state), 'mirror.values {"cpu": 1.0, "memory": 2.0}', APPLIED_AT_START)
            await feed.snapshot(2, disk=4.0)
            await fake.has(2, likely=RESTARTED, disk=4.0)
            await feed.values(3, 3, cpu=5.0)
            await fake.has(3, likely=APPLY, cpu=5.0, disk=4.0)
            # With a close frame too.
            await fake.ask()
            await feed.connection.close(1001)
            fake.did = "a close frame with the code 1001"
            fake.after = "a snapshot and values, after a while without a connection"
            feed = await self._back(fake, likely=CLEAN)
            delays = (await fake.ask())["delays"]
            if delays and min(delays) > SHORT:
                got = f"a delay of {min(delays):.1f} s before the next attempt"
                raise fake.failure(got, "the shortest delay, as after the first connection", NOT_RESET)
            await fake.ask("exit")

    @staticmethod
    async def _attempts(fake: MirrorServer, most: int, usual: str, likely: str) -> None:
        before = fake.attempts
        await pause(REFUSED / SPEED)
        if (attempts := fake.attempts - before) > most:
            got = f"{attempts} attempts in {REFUSED:g} s, by the clock of your client"
            raise fake.failure(got, f"{usual} attempts in {REFUSED:g} s", likely)

    @staticmethod
    def _are_delays(fake: MirrorServer, sleeps: list[float], attempts: int) -> None:
        """Check the limits of the delays before these attempts, if it has slept for nothing else."""
        if not attempts <= len(sleeps) <= attempts + 1:
            return
        got = f"delays of {', '.join(f'{each:.2f}' for each in sleeps)} s"
        if any(each < 0.49 * min(10, 0.5 * 2**number) for number, each in enumerate(sleeps)):
            raise fake.failure(got, "delays from 0.25 to 0.5 s, from 0.5 to 1 s, from 1 to 2 s, and so on", TOO_SHORT)
        if max(sleeps, default=0) > LONGEST:
            raise fake.failure(got, "no delay of more than 10 s", NO_CAP)

    @staticmethod
    async def _back(fake: MirrorServer, *, likely: str = LOST) -> Feed:
        """Return the next connection, which must start with a subscribe."""
        feed = await fake.feed(likely=likely, seconds=COMES_BACK)
        await feed.subscribed()
        return feed

    @check(8, "equals the server of your package, also after the network was cut", pauses=True)
    async def test_own_server(self, subject: Subject) -> None:
        async with (
            feed_server(subject, SAMPLES_PER_SECOND="100") as server,
            Network(server.subject.server) as network,
            mirror_server(subject) as fake,
        ):
            topics = ["count", *COUNTED[1:], "rare"]
            await fake.enter(network.ws("/ws"), topics)
            await pause(0)
            for round_number in range(2):
                checked = len(fake.states)
                start = fake.states[-1]["seq"] if fake.states else 0
                expect = f"mirror.seq at least {start + 50}"
                fake.did = "the values of your server"
                state = await fake.until(lambda now, start=start: now["seq"] >= start + 50, expect=expect, likely=LOST)
                for state in fake.states[checked:]:
                    if "count" not in state["values"]:
                        continue
                    count = int(state["values"]["count"])
                    wanted = {topic: value for topic in topics if (value := expected(topic, count)) is not None}
                    if state["values"] != wanted or abs(state["seq"] - count) > 1:
                        raise fake.failure(show_state(state), show_state({"seq": count, "values": wanted}), DIFFERS)
                if round_number == 0:
                    network.cut()
                    fake.after = "the network was cut once"
