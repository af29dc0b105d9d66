"""Step 13, TODO 1 and 2: one producer for all viewers, which runs while there are any."""

import asyncio
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

from judge.conversation import pause
from judge.members import BAD
from judge.model import Failure, check
from judge.subject import Subject
from judge.viewers import FeedServer, Viewer, feed_server

MANY = 20
"""Viewers of one server."""
RATE = 40
"""Samples a second in a check that must find an answer that ignores SAMPLES_PER_SECOND."""
FASTEST = 1.5
"""If a producer's mean rate is higher than this multiple of SAMPLES_PER_SECOND, something samples a second time."""
SLOWEST = 1.6
"""If the median time between two samples is longer than this multiple, the rate isn't SAMPLES_PER_SECOND."""
PAUSE = 3
"""If the time between two samples is longer than this multiple, the machine stands still."""
COUNTED = 30
"""Samples from which a rate is computed."""
ROUND_TRIPS = 20
"""Malformed messages, each answered with an error, while samples block."""
MOST_CALLS = 2
"""Calls of sample() for each of them, on a busy machine too."""
BLOCK = 0.2
"""The time that a sample blocks, in seconds. Make names it."""
SHORT_BLOCK = 0.02
"""A time that doesn't change the rate of the samples, in seconds."""
LINGER = 1.0
"""The time that the producer continues after the last viewer has left, in seconds."""
LINGERING = range(9, 50)
"""Calls of sample() in that time: about 20, with 20 a second."""
LONG_BLOCK = 1.0
"""The time that a sample blocks in a check that stops the producer during a sample, in seconds."""

EACH = (
    "Each viewer has a producer of its own, so the machine is sampled once for each. Start one task for the whole "
    "server, for example in the lifespan, and let it send each sample to all viewers."
)
TWICE = (
    "Two producers run: two viewers that subscribe at the same time start one each. Start it once, for example in the "
    "lifespan, or store the task before the first await."
)
OVERLAP = (
    "Two calls of sample() run at the same time. Await each call in the producer, and start the next one after it."
)
OVERLAP_LATER = (
    "The producer is canceled while sample() runs in a thread, and the next subscribe starts another call next to it. "
    "A thread can't be canceled: let the producer wait for an Event instead, or await its last call before the next."
)
RATE_IGNORED = (
    "The producer doesn't sample SAMPLES_PER_SECOND times a second. Sleep for 1 / SAMPLES_PER_SECOND, less the time "
    "that the sample took."
)
BLOCKED = (
    "sample() runs in the event loop, so all viewers wait while it blocks. Call it in a thread: "
    "await asyncio.to_thread(sample)."
)
HELD = (
    "All viewers wait while sample() blocks, although it runs in a thread: your code waits for it somewhere else too, "
    "for example with a lock. Only the producer may wait for a sample."
)
ENDS = (
    "The producer ends when sample() raises, so no viewer gets another value. Catch the exception inside the loop, log "
    "it, and continue with the next sample."
)
CLOSES = (
    "A viewer is disconnected when sample() raises: the exception ends a task of its endpoint, or the server. Catch it "
    "in the loop of the producer."
)
TOO_EARLY = (
    "sample() is called although no viewer has subscribed. Start the producer, or let it continue, with the first "
    "subscribe."
)
NEVER_STOPS = (
    "sample() is still called after the last viewer has left. Stop the producer, or let it wait, one second after the "
    "last viewer has disconnected."
)
UNSUBSCRIBED = (
    "sample() is still called for a connection that has no topics left. Count the viewers with at least one topic, and "
    "remove one that has unsubscribed from its last topic."
)
STOPS_AT_ONCE = (
    "The producer stops as soon as the last viewer leaves, so a page that's reloaded stops and starts it. Stop it one "
    "second later, unless a viewer has subscribed by then."
)
STOPS_ANYWAY = (
    "The producer stops although a viewer has subscribed within the second. Cancel the timer in subscribe, or look "
    "for viewers when it ends. Start it only when the last viewer with topics leaves, so there's one to cancel."
)
STOPS_WITH_FIRST = (
    "The producer ends when the viewer that started it leaves: it's a task of that viewer's endpoint. Let it belong to "
    "the server, for example to the lifespan."
)
STOPS_LATE = "The producer stops later than a second after the last viewer has left. Wait LINGER seconds, which is 1.0."
NO_TOPICS = (
    "A subscribe with an empty list of topics starts the producer. A viewer is a connection with at least one topic, "
    "so look for topics before you start it."
)
CATCHES_UP = (
    "After a pause, the producer takes the samples of the pause, too, without an interval. When it continues, compute "
    "the time of the next sample from the present."
)
CATCH_UP = 4
"""Intervals that ten calls take at least, also on a busy machine. With 20 samples a second, they take nine."""
COUNTED_TWICE = (
    "The producer stops although a viewer is left: some connection is subtracted twice, or without having been added. "
    "Keep the viewers that have topics in a set, and stop when the set is empty."
)
NOT_AGAIN = "The producer doesn't start again. After it has stopped, the next subscribe must start it, or wake it up."


def rate(state: dict[str, Any], promised: float) -> float:
    """Return the mean number of samples a second, in the time of `COUNTED` promised ones before the last one.

    A machine that stands still for a moment hides further samples, so long pauses don't count.

    Args:
        state: what the source has counted.
        promised: the number of samples a second.
    """
    starts = [each for each in state["starts"] if each >= state["starts"][-1] - COUNTED / promised]
    gaps = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]
    counted = [gap for gap in gaps if gap < PAUSE / promised]
    return len(counted) / max(sum(counted), 1e-9)


async def stops(server: FeedServer, *, after: str, likely: str) -> int:
    """Wait until the source isn't called any longer, and return the number of calls.

    Raises:
        Failure: it's still called.
    """
    calls = -1
    for _ in range(int(8 * LINGER + 4 * server.subject.patience)):
        state = await server.state()
        if state["calls"] == calls and not state["running"]:
            return calls
        calls = state["calls"]
        # Five intervals between two samples.
        await asyncio.sleep(0.25)
    raise Failure(after=after, got=f"{calls} calls of sample(), and more", expect="no more calls", likely=likely)


class Producer:
    @check(1, "samples once for all viewers, SAMPLES_PER_SECOND times a second", pauses=True)
    async def test_one_producer(self, subject: Subject) -> None:
        async with feed_server(subject, SAMPLES_PER_SECOND=str(RATE)) as server, AsyncExitStack() as stack:
            viewers: list[Viewer] = []
            for count in (1, MANY):
                while len(viewers) < count:
                    viewers.append(await stack.enter_async_context(server.viewer(f"viewer {len(viewers) + 1}")))
                    await viewers[-1].join("count")
                start = (await server.state())["count"]
                await pause(COUNTED / RATE)
                await server.counted(start + COUNTED, likely=RATE_IGNORED)
                state = await server.state()
                watching = f"{count} viewer{'s' * (count > 1)} subscribed"
                starts = state["starts"][-COUNTED:]
                between = median(later - earlier for earlier, later in zip(starts, starts[1:], strict=False))
                expect = f"{RATE} calls of sample() a second, as SAMPLES_PER_SECOND is {RATE}"
                if (calls := rate(state, RATE)) > FASTEST * RATE:
                    cause = EACH if count > 1 else RATE_IGNORED
                    raise Failure(after=watching, got=f"{calls:.0f} calls a second", expect=expect, likely=cause)
                if between > SLOWEST / RATE:
                    got = f"one call every {between * 1000:.0f} ms"
                    raise Failure(after=watching, got=got, expect=expect, likely=RATE_IGNORED)
                self._one_at_a_time(state)

    @check(1, "serves viewers while a sample blocks for 0.2 s", pauses=True)
    async def test_blocking(self, subject: Subject) -> None:
        async with feed_server(subject, BLOCK=str(BLOCK)) as server, server.viewer("Ada") as ada:
            await ada.join("count")
            await ada.counts(likely=BLOCKED)
            if calls := (await server.state())["in_loop"]:
                got = f"{calls} calls of sample() in the thread of the event loop, which wait for {BLOCK} s each"
                raise Failure(after="Ada has subscribed", got=got, expect="calls in another thread", likely=BLOCKED)
            async with server.viewer("Grace") as grace:
                before = (await server.state())["calls"]
                for number in range(1, ROUND_TRIPS + 1):
                    await grace.client.send(f"malformed message {number}")
                    await grace.client.gets_error(likely=BLOCKED)
                    calls = (await server.state())["calls"] - before if number % 5 == 0 else 0
                    if calls > MOST_CALLS * number + 2:
                        raise Failure(
                            sent=f"{number} malformed messages, one by one, while each sample takes {BLOCK} s",
                            got=f"{number} errors, during {calls} calls of sample()",
                            expect="an answer to each within 100 ms, so during a few calls",
                            likely=HELD,
                        )
            await ada.counts(likely=BLOCKED)
            self._one_at_a_time(await server.state())

    @staticmethod
    def _one_at_a_time(state: dict[str, Any]) -> None:
        if state["most_running"] > 1:
            got = f"{state['most_running']} calls of sample() at the same time"
            raise Failure(got=got, expect="one call after the other", likely=OVERLAP)

    @check(1, "continues after samples that raise", quiet=False)
    async def test_raising(self, subject: Subject) -> None:
        for calls, who in (("4-8", "Ada"), ("1-3", "Grace")):
            async with feed_server(subject, noisy=True, RAISE=calls) as server, server.viewer(who) as viewer:
                await viewer.join("count")
                viewer.client.after = f"the calls {calls.replace('-', ' to ')} of sample() raise different exceptions"
                try:
                    while await viewer.counts(likely=ENDS) < 6:
                        pass
                except Failure as failure:
                    if "closed" in failure.got:
                        failure.likely = CLOSES
                    raise


class Life:
    @check(2, "starts one producer if two viewers subscribe at the same time")
    async def test_two_at_once(self, subject: Subject) -> None:
        # An answer that takes a sample before it stores its producer isn't too fast for the second viewer.
        block = feed_server(subject, BLOCK=str(SHORT_BLOCK))
        async with block as server, server.viewer("Ada") as ada, server.viewer("Grace") as grace:
            subscribe = {"type": "subscribe", "topics": ["count"]}
            await server.subject.simultaneously(ada.client.send(subscribe), grace.client.send(subscribe))
            await self._samples_once(server, "two viewers have subscribed at the same time", TWICE)

    @staticmethod
    async def _samples_once(server: FeedServer, after: str, likely: str) -> None:
        await server.counted((await server.state())["count"] + COUNTED, likely=NOT_AGAIN, after=after)
        if (calls := rate(await server.state(), 20)) > FASTEST * 20:
            expect = "20 calls a second: SAMPLES_PER_SECOND by default"
            raise Failure(after=after, got=f"{calls:.0f} calls a second", expect=expect, likely=likely)

    # Before the check of the second: if the producer ends with its first viewer, that one fails too.
    @check(2, "continues when the first viewer leaves", pauses=True)
    async def test_first_leaves(self, subject: Subject) -> None:
        async with feed_server(subject) as server, server.viewer("Grace") as grace:
            async with server.viewer("Ada") as ada:
                await ada.join("count")
                await ada.counts(likely=NOT_AGAIN)
                await grace.join("count")
                await grace.counts(likely=NOT_AGAIN)
            after = "Ada, who had subscribed first, has left, and Grace hasn't"
            await self._continues(server, after=after, likely=STOPS_WITH_FIRST)
            async with server.viewer("Linus") as linus, server.viewer("Ada"):
                await linus.join("m1")
                await linus.join("rare")
                await linus.client.send({"type": "unsubscribe", "topics": ["m1", "rare"]})
            after = "Linus has unsubscribed and left, and so has Ada, who had subscribed to nothing; Grace hasn't"
            await self._continues(server, after=after, likely=COUNTED_TWICE)

    @staticmethod
    async def _continues(server: FeedServer, *, after: str, likely: str) -> None:
        """Check that samples are taken for two seconds, which is longer than the producer lingers."""
        await pause(0)
        for _ in range(2):
            await server.counted((await server.state())["count"] + 20, likely=likely, after=after)

    @check(2, "starts with the first subscribe, and stops a second after the last viewer", pauses=True)
    async def test_life(self, subject: Subject) -> None:
        async with feed_server(subject, counting=True) as server:
            idle = await server.subject.unfinished()
            async with server.viewer("Ada") as ada:
                await ada.client.send(BAD[0])
                await ada.client.gets_error(likely="A malformed message gets no error. Send one.")
                await pause(0.3)
                if calls := (await server.state())["calls"]:
                    after = "Ada has connected, and hasn't subscribed"
                    raise Failure(after=after, got=f"{calls} calls of sample()", expect="none", likely=TOO_EARLY)
                await ada.join()
                await pause(0.3)
                if calls := (await server.state())["calls"]:
                    after = "Ada has subscribed with an empty list of topics"
                    raise Failure(after=after, got=f"{calls} calls of sample()", expect="none", likely=NO_TOPICS)
                await ada.join("count")
                await ada.counts(likely=NOT_AGAIN)
                await ada.counts(likely=NOT_AGAIN)
                calls = (await server.state())["calls"]
            await self._lingers(server, calls, after="the last viewer has left", likely=NEVER_STOPS)
            await server.subject.eventually_idle(idle, after="the last viewer has left, and the producer has stopped")
            async with server.viewer("Grace") as grace:
                # An answer that catches up has twenty samples more to take then.
                await pause(LINGER)
                before = await self._starts_again(server, grace)
                while await grace.counts(likely=NOT_AGAIN) < before + 2:
                    pass
                calls = (await server.state())["calls"]
                await grace.client.send({"type": "unsubscribe", "topics": ["count", "rare"]})
                after = "the only viewer has unsubscribed from its topics"
                await self._lingers(server, calls, after=after, likely=UNSUBSCRIBED)

    @staticmethod
    async def _starts_again(server: FeedServer, grace: Viewer) -> int:
        """Subscribe after a pause, check the first ten calls of sample(), and return the number of samples."""
        paused = (await server.state())["calls"]
        await grace.join("count", "rare")
        await server.called(paused + 10, likely=NOT_AGAIN)
        state = await server.state()
        starts = state["starts"][paused - state["calls"] :][:10]
        if (took := starts[-1] - starts[0]) < CATCH_UP / 20:
            raise Failure(
                after="the producer had stopped, and Grace has subscribed more than a second later",
                got=f"10 calls of sample() in {took * 1000:.0f} ms",
                expect="about 450 ms between the first one and the tenth",
                likely=CATCHES_UP,
            )
        return int(state["count"])

    @staticmethod
    async def _lingers(server: FeedServer, before: int, *, after: str, likely: str) -> None:
        """Check that the producer stops about a second after it has counted these calls."""
        calls = await stops(server, after=after, likely=likely) - before
        if calls not in LINGERING:
            got = f"{calls} calls of sample() since then"
            expect = "about 20: one second with 20 samples a second"
            cause = STOPS_AT_ONCE if calls < LINGERING.start else STOPS_LATE
            raise Failure(after=after, got=got, expect=expect, likely=cause)

    @check(2, "continues if a viewer subscribes within that second", pauses=True)
    async def test_back_soon(self, subject: Subject) -> None:
        async with feed_server(subject) as server:
            async with server.viewer("Ada") as ada:
                await ada.join("count")
                await ada.counts(likely=NOT_AGAIN)
            async with server.viewer("Grace") as grace:
                # The end of a connection without topics isn't the end of a viewer.
                await grace.client.send("malformed")
                await grace.client.gets_error(likely="A malformed message gets no error. Send one.")
            await pause(LINGER / 2)
            async with server.viewer("Linus") as linus:
                await linus.join("count")
                after = "all viewers had left, and half a second later Linus has subscribed"
                await self._continues(server, after=after, likely=STOPS_ANYWAY)
                await self._samples_once(server, after, TWICE)

    @check(2, "runs one sample at a time, also when it stops and starts again", pauses=True)
    async def test_one_at_a_time(self, subject: Subject) -> None:
        async with feed_server(subject, BLOCK=str(LONG_BLOCK)) as server:
            async with server.viewer("Ada") as ada:
                await ada.join("count")
                for calls in (1, 2):
                    await server.called(calls, likely=NOT_AGAIN)
                # So the producer stops in the middle of the third call, which starts in a second.
                await pause(LINGER / 4)
            await pause(1.5 * LINGER)
            async with server.viewer("Grace") as grace:
                await grace.join("count")
                for calls in (3, 4):
                    await server.called(calls, likely=NOT_AGAIN)
                if (most := (await server.state())["most_running"]) > 1:
                    raise Failure(
                        after=f"a sample takes {LONG_BLOCK:g} s; all viewers had left, and the next one has subscribed "
                        f"{1.5 * LINGER:g} s later, during a sample",
                        got=f"{most} calls of sample() at the same time",
                        expect="one call after the other",
                        likely=OVERLAP_LATER,
                    )
