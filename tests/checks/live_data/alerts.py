"""Step 13, TODO 7: alerts, which are never merged."""

import asyncio
from typing import Any

from judge.clients import anything
from judge.messages import parsed, show
from judge.model import Failure, Likely, check
from judge.slow_readers import releases
from judge.subject import Subject
from judge.tasks import running
from judge.viewers import ALERT_FORM, FeedServer, Viewer, feed_server

from .snapshots import unsubscribe

QUEUED = 64
"""Alerts that may wait for a viewer."""
FEWER = 60
LARGE = 3_200_000
"""Characters of an alert that's larger than all buffers between the server and a client."""
NO_ALERT = (
    "The viewer gets no alert. Call alerts() with each sample, and send each text to the viewers with that topic."
)
MERGED = "An alert is missing: alerts are merged, or only the last one is sent. Queue each of them, in order."
OTHER_ORDER = "The alerts of a sample are sent in another order. Keep the order of the list that alerts() returns."
DEDUPLICATED = "Of two alerts with the same text, only one is sent. They're two alerts: send each item of the list."
CLOSE_TIMEOUT = 1.0
"""Seconds after which a connection that's being closed is aborted, in the check of a viewer that never reads."""
ATTEMPTS = 3
"""The largest number of attempts. If a busy machine sends two alerts far apart, an attempt proves nothing."""
STUCK_FOR = 3
"""The limit for that, as a multiple of the patience."""
STUCK = (
    "The connection of a viewer that's being closed is never aborted: each further alert closes it again, which starts "
    "the timer of CLOSE_TIMEOUT again. Close it once, remove the viewer, and queue nothing more for it."
)
NOT_STARTED = (
    "The producer doesn't start for a viewer whose only topic is alerts. It's a topic like the others: start with the "
    "first subscribe, whatever its topics are."
)
QUIET_SAMPLE = (
    "The alerts of a sample without values aren't sent. Send them even if sample() has returned an empty dict, or if "
    "none of the viewer's topics has changed."
)
BEFORE_SAMPLE = (
    "alerts() is called before sample(), so the alerts of a sample arrive with the next one. Call it after sample()."
)
NOT_EACH = (
    "alerts() isn't called after each sample, but only if a viewer has the topic alerts. So the first viewer with it "
    "gets alerts from long ago. Call it after each sample, and drop the alerts that no viewer wants."
)
STILL = (
    "The viewer gets an alert after it has unsubscribed from alerts. It's a topic like the others: look for it in the "
    "viewer's set each time."
)
ERRORS_UNLIMITED = (
    f"Errors for a viewer that reads nothing are queued without a limit, or dropped. At the {QUEUED + 1}th queued "
    "message, whatever its type is, close the connection with 1013."
)
TWICE = "An alert is sent twice. Send it once for each viewer."
WINDOWED = (
    "Alerts wait for a seen, or for the end of the viewer's interval. The window and the rate are for values only: "
    "queue an alert right away."
)
UNSEEN = (
    "After some alerts, the viewer gets no values any longer: your code counts alerts as unseen messages. Count only "
    "messages with values, because only these are answered with seen."
)
WITH_VALUES = (
    "A viewer gets alerts only if it gets values of the same sample. Send them to every viewer with the topic alerts, "
    "whether or not one of its other topics has changed."
)
ONE_VIEWER = (
    "Only one viewer gets the alerts: each call of alerts() returns them once. Call it in the producer, and send the "
    "result to every viewer with the topic."
)
NOT_SUBSCRIBED = "A viewer without the topic alerts gets one. Look at the viewer's topics before you queue it."
TOO_SOON = (
    f"A viewer is disconnected although fewer than {QUEUED} alerts wait for it. Count the queued messages, and "
    f"close the connection at the {QUEUED + 1}th."
)
LOSES = (
    "Alerts are lost when a viewer is disconnected. Leave what is queued as it is, and put the close behind it, as in "
    "step 07."
)
TOO_LATE = (
    f"More than {QUEUED} messages are queued before the viewer is disconnected. Close its connection when {QUEUED} are "
    "queued and one more comes."
)
DROPPED = (
    f"When {QUEUED} messages are queued, further alerts are dropped, and the viewer doesn't learn of it. Close its "
    "connection with 1013 instead."
)
ABORTED = (
    "The connection is aborted, or its writer canceled, as soon as the queue is full, so the viewer gets neither its "
    "queued messages nor the reason. Put the close behind them, and abort only after CLOSE_TIMEOUT."
)
UNLIMITED = (
    f"Alerts for a viewer that reads nothing are queued without a limit. At the {QUEUED + 1}th, close the connection "
    "with 1013."
)


async def next_alert(viewer: Viewer, *, likely: str | Likely, text: str, seen: bool = False) -> None:
    """Check that the next message that isn't values is this alert.

    Args:
        viewer: the viewer.
        likely: the mistake, if none arrives.
        text: the text of the alert.
        seen: whether to answer values with seen.

    Raises:
        Failure: it isn't.
    """
    wanted = {"type": "alert", "text": text}
    while True:
        message = await viewer.client.next_object(expect=show(wanted), likely=likely)
        if isinstance(message, dict) and message.get("type") == "values":
            viewer.check_values(message)
            if seen:
                await viewer.see(message)
            continue
        if message == wanted:
            return
        fields = message if isinstance(message, dict) else {}
        cause = ALERT_FORM if fields.get("type") == "alert" and set(fields) != {"type", "text"} else MERGED
        if cause == MERGED and await follows(viewer, text):
            cause = OTHER_ORDER
        raise viewer.failure(message, show(wanted), cause)


async def not_values(viewer: Viewer, *, expect: str, likely: str) -> Any:
    """Return the next message that isn't values, parsed."""
    while True:
        message = await viewer.client.next_object(expect=expect, likely=likely)
        if not isinstance(message, dict) or message.get("type") != "values":
            return message
        viewer.check_values(message)


async def follows(viewer: Viewer, text: str) -> bool:
    """Return whether one of the next messages is this alert, to explain a failure."""
    for _ in range(40):
        message = parsed(await viewer.client.receives_any() or "")
        if message == {"type": "alert", "text": text}:
            return True
        if not isinstance(message, dict):
            return False
    return False


class Alerts:
    @check(7, "sends each alert once and in order, also while the window is closed")
    async def test_alerts(self, subject: Subject) -> None:
        async with (
            feed_server(subject) as server,
            server.viewer("Ada") as ada,
            server.viewer("Grace") as grace,
            server.viewer("Linus") as linus,
        ):
            await grace.subscribe("alerts")
            await linus.subscribe("count")
            await ada.client.send({"type": "rate", "per_second": 1})
            await ada.subscribe("alerts", "count", "m1")
            # Now her interval runs, and the next values close her window, too.
            unseen = await ada.next(seen=False)
            number = 0
            for count in (1, 3, 20):
                texts = [f"alert {number + place + 1}" for place in range(count)]
                number += count
                await server.push(alerts=texts)
                after = f"{count} alert{'s' * (count > 1)} after one sample, and {number} in all"
                grace.client.after = ada.client.after = after
                await self._gets(server, grace, texts, ada)
                # The alerts are queued, so they arrive before the answer to this.
                await ada.client.send("malformed")
                await self._gets_before_the_error(ada, texts, unseen)
                # On a slow machine, she has received them already.
                if len(ada.received) < 2:
                    await ada.next(seen=False, likely=UNSEEN)
            await server.push(alerts=["cpu is above 90 %", "cpu is above 90 %"])
            for text in ("the first", "the second"):
                grace.client.after = f"two alerts with the same text, of which this is {text}"
                await next_alert(grace, likely=DEDUPLICATED, text="cpu is above 90 %")
            while linus.last is None or len(linus.received) < 8:
                await linus.next(likely=NOT_SUBSCRIBED)
            after = f"{number + 2} alerts, each received once"
            await grace.is_silent(likely=TWICE, after=after)
            await grace.subscribe("alerts", "count")
            await server.push(alerts=[f"alert {number + place + 1}" for place in range(3)])
            for place in range(3):
                await next_alert(grace, likely=NO_ALERT, text=f"alert {number + place + 1}", seen=True)
            grace.client.after = "three alerts, and all messages with values are seen"
            for _ in range(4):
                await grace.next(likely=Likely(UNSEEN, wrong=TWICE))
            for viewer in (grace, ada):
                await unsubscribe(viewer, ["alerts"])
            await self._ignores(server, grace, linus)

    @staticmethod
    async def _ignores(server: FeedServer, grace: Viewer, linus: Viewer) -> None:
        """Check that alerts() is called after each sample, although no viewer has the topic, and that none is sent."""
        before = await server.state()
        await server.push(alerts=["nothing for you"])
        grace.client.after = "an unsubscribe from alerts, and then an alert"
        for viewer in (linus, grace):
            await viewer.until((linus.last or 0) + 8, likely=STILL)
        after, state = "all viewers have unsubscribed from alerts, and watch other topics", await server.state()
        calls, alert_calls = (state[key] - before[key] for key in ("calls", "alert_calls"))
        if state["early_alerts"] or calls - alert_calls > 2:
            raise Failure(
                after=after,
                got=f"{state['early_alerts']} calls of alerts() before the call of sample()"
                if state["early_alerts"]
                else f"{calls} calls of sample(), and {alert_calls} of alerts()",
                expect="one call of alerts() after each call of sample()",
                likely=BEFORE_SAMPLE if state["early_alerts"] else NOT_EACH,
            )

    @staticmethod
    async def _gets(server: FeedServer, grace: Viewer, texts: list[str], other: Viewer) -> None:
        for place, text in enumerate(texts):
            try:
                await next_alert(grace, likely=NO_ALERT, text=text)
            except Failure as failure:
                if place == 0 and failure.likely == NO_ALERT and await follows(other, text):
                    # If both get an alert after Grace has a topic with values, her topics are the cause.
                    await grace.join("count")
                    await server.push(alerts=["once more"])
                    both = await follows(grace, "once more") and await follows(other, "once more")
                    failure.likely = WITH_VALUES if both else ONE_VIEWER
                raise

    @staticmethod
    async def _gets_before_the_error(ada: Viewer, texts: list[str], unseen: dict[str, Any]) -> None:
        for place, text in enumerate(texts):
            wanted = {"type": "alert", "text": text}
            message = await not_values(ada, expect=show(wanted), likely=ONE_VIEWER)
            if isinstance(message, dict) and message.get("type") == "error" and place == 0:
                failure = ada.failure(message, f"{show(wanted)} before it", ONE_VIEWER)
                await ada.see(unseen)
                await ada.client.send({"type": "rate", "per_second": 20})
                if await follows(ada, text):
                    failure.likely = WINDOWED
                raise failure
            if message != wanted:
                raise ada.failure(message, show(wanted), MERGED)
        expect, likely = 'a message {"type": "error", "detail": "..."}', "A malformed message gets no error. Send one."
        message = await not_values(ada, expect=expect, likely=likely)
        if not isinstance(message, dict) or message.get("type") != "error":
            raise ada.failure(message, expect, TWICE)

    @check(7, "keeps a viewer for which at most 64 alerts wait")
    async def test_queued(self, subject: Subject) -> None:
        async with (
            feed_server(subject, QUIET="1") as server,
            server.viewer("Ada") as ada,
            server.viewer("Linus", tiny=True) as linus,
        ):
            try:
                texts = await self._fill(server, ada, linus, FEWER)
            except Failure as failure:
                if failure.likely == NO_ALERT:
                    failure.likely = QUIET_SAMPLE if (await server.state())["calls"] else NOT_STARTED
                    failure.after = "Ada has subscribed to alerts only, and sample() returns an empty dict each time"
                raise
            linus.client.read_again()
            linus.client.after = f"Linus has read nothing, and {FEWER} alerts were queued for him behind a large one"
            patience = linus.client.patience
            for place, text in enumerate(texts):
                # The large one takes several seconds on a busy machine.
                linus.client.patience = patience if place else 3 * patience
                await next_alert(linus, likely=Likely(TOO_SOON, closed=TOO_SOON), text=text)

    @check(7, "disconnects a viewer with 1013 when more than 64 alerts wait")
    async def test_overflow(self, subject: Subject) -> None:
        async with (
            feed_server(subject, CLOSE_TIMEOUT="30") as server,
            server.viewer("Ada") as ada,
            server.viewer("Linus", tiny=True) as linus,
        ):
            texts = await self._fill(server, ada, linus, 2 * QUEUED)
            # The others still get alerts.
            await server.push(alerts=["one more"])
            await next_alert(ada, likely=NO_ALERT, text="one more")
            linus.client.read_again()
            linus.client.after = f"Linus has read nothing, and {2 * QUEUED} alerts were sent behind a large one"
            try:
                frames = await linus.client.is_closed(1013, likely=Likely(UNLIMITED, closed=ABORTED), besides=anything)
            except Failure as failure:
                if "code 1012" in failure.got:
                    failure.broken = True  # The server has ended, and its log explains why.
                if failure.likely == UNLIMITED and "one more" not in failure.got:
                    failure.likely = DROPPED
                raise
            received = [parsed(frame).get("text") for frame in frames if isinstance(frame, str)]
            # The writer may hold one more.
            if received != texts[: len(received)] or not QUEUED <= len(received) <= QUEUED + 3:
                raise Failure(
                    after=linus.client.after,
                    got=f"{len(received)} alerts, and then the close",
                    expect=f"the large alert and about {QUEUED} others, in order, and then the close",
                    likely=LOSES if len(received) < QUEUED else TOO_LATE,
                )

    @check(7, "disconnects a viewer with 1013 when more than 64 errors wait")
    async def test_errors(self, subject: Subject) -> None:
        async with (
            feed_server(subject, CLOSE_TIMEOUT="30") as server,
            server.viewer("Ada") as ada,
            server.viewer("Linus", tiny=True) as linus,
        ):
            await self._fill(server, ada, linus, 3)
            for number in range(2 * QUEUED):
                await linus.client.send(f"malformed message {number}")
            linus.client.read_again()
            linus.client.after = f"Linus has read nothing, and has sent {2 * QUEUED} malformed messages"
            errors = Likely(ERRORS_UNLIMITED, closed=ABORTED)
            frames = await linus.client.is_closed(1013, likely=errors, besides=anything)
            if not QUEUED <= len(frames) <= QUEUED + 3:
                raise Failure(
                    after=linus.client.after,
                    got=f"{len(frames)} messages, and then the close",
                    expect=f"the large alert and about {QUEUED} other messages, and then the close",
                    likely=ERRORS_UNLIMITED,
                )

    @check(7, "aborts the connection of a viewer that reads nothing, also while alerts go on", pauses=True)
    async def test_stuck(self, subject: Subject) -> None:
        async with feed_server(subject, CLOSE_TIMEOUT=str(CLOSE_TIMEOUT)) as server:
            for _ in range(ATTEMPTS):
                if await self._longest_gap(server) < CLOSE_TIMEOUT / 2:
                    break

    async def _longest_gap(self, server: FeedServer) -> float:
        """Check that the connection is aborted, and return the longest time between two alerts until then, in seconds.

        Raises:
            Failure: it isn't aborted.
        """
        clock, patience = asyncio.get_running_loop().time, server.subject.patience
        async with server.viewer("Ada") as ada, server.viewer("Linus", tiny=True) as linus:
            await self._fill(server, ada, linus, 2 * QUEUED)
            number, gap, last = 0, 0.0, clock()
            end = last + STUCK_FOR * patience
            async with running(releases(server.subject, linus.client)) as (released,):
                while not released.done():
                    number += 1
                    await server.push(alerts=[f"later {number}"])
                    await next_alert(ada, likely=NO_ALERT, text=f"later {number}")
                    gap, last = max(gap, clock() - last), clock()
                    if last > end:
                        raise Failure(
                            after=f"Linus reads nothing, {2 * QUEUED} alerts, and one more with each sample",
                            got=f"his connection still open after {STUCK_FOR * patience:g} s",
                            expect=f"his connection aborted {CLOSE_TIMEOUT:g} s after the 65th: CLOSE_TIMEOUT",
                            likely=STUCK,
                        )
            return gap

    @staticmethod
    async def _fill(server: FeedServer, ada: Viewer, linus: Viewer, count: int) -> list[str]:
        """Queue alerts behind a large one for a viewer that reads nothing, and return all their texts."""
        for viewer in (ada, linus):
            await viewer.subscribe("alerts")
        linus.client.stop_reading()
        # The large alert takes a second or two, because Linus's buffers are tiny.
        linus.client.patience *= 2
        texts = ["x" * LARGE, *(f"alert {number + 1}" for number in range(count))]
        await server.push(alerts=texts[:1])
        await next_alert(ada, likely=NO_ALERT, text=texts[0])
        # One sample each at first, so the large alert is being sent when the others are queued.
        for text in texts[1:4]:
            await server.push(alerts=[text])
            await next_alert(ada, likely=NO_ALERT, text=text)
        await server.push(alerts=texts[4:])
        for text in texts[4:]:
            await next_alert(ada, likely=Likely(NO_ALERT, closed=TOO_SOON), text=text)
        return texts
