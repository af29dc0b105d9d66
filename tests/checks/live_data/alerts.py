"""Step 13, TODO 7: alerts, which are never merged."""

from judge.clients import anything
from judge.messages import parsed, show
from judge.model import Failure, Likely, check
from judge.subject import Subject
from judge.viewers import FeedServer, Viewer, feed_server

QUEUED = 64
"""Alerts that may wait for a viewer."""
FEWER = 60
LARGE = 6_000_000
"""Characters of an alert that's larger than all buffers between the server and a client."""
NO_ALERT = (
    "The viewer gets no alert. Call alerts() with each sample, and send each text to the viewers with that topic."
)
MERGED = "An alert is missing: alerts are merged, or only the last one is sent. Queue each of them, in order."
WINDOWED = "Alerts wait for seen. The window and the rate are for values only: queue an alert right away."
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
UNLIMITED = (
    f"Alerts for a viewer that reads nothing are queued without a limit. At the {QUEUED + 1}th, close the connection "
    "with 1013."
)
FORM = 'Send each alert as {"type": "alert", "text": ...}, with the text that alerts() returned.'
IN_SNAPSHOT = "The snapshot has a value for alerts. This topic has texts and no values, so leave it out."


async def next_alert(viewer: Viewer, *, likely: str | Likely, text: str) -> None:
    """Check that the next message that isn't values is this alert.

    Raises:
        Failure: it isn't.
    """
    wanted = {"type": "alert", "text": text}
    while True:
        message = await viewer.client.next_object(expect=show(wanted), likely=likely)
        if isinstance(message, dict) and message.get("type") == "values":
            viewer.check_values(message)
            continue
        if message == wanted:
            return
        fields = message if isinstance(message, dict) else {}
        cause = FORM if fields.get("type") == "alert" and "text" not in fields else MERGED
        raise viewer.failure(message, show(wanted), cause)


class Alerts:
    @check(7, "sends each alert once and in order, also while the window is closed")
    async def test_alerts(self, subject: Subject) -> None:
        async with (
            feed_server(subject) as server,
            server.viewer("Ada") as ada,
            server.viewer("Grace") as grace,
            server.viewer("Linus") as linus,
        ):
            await ada.subscribe("alerts", "count", "m1")
            await grace.subscribe("alerts")
            await linus.subscribe("count")
            await ada.client.send({"type": "rate", "per_second": 1})
            # Ada's window is closed for values after these.
            await ada.next(seen=False)
            number = 0
            for count in (1, 3, 20):
                texts = [f"alert {number + place + 1}" for place in range(count)]
                number += count
                await server.push(alerts=texts)
                for viewer, cause in ((grace, NO_ALERT), (ada, WINDOWED)):
                    viewer.client.after = f"{count} alerts after one sample, and {number} in all"
                    for text in texts:
                        other = Likely(cause, elsewhere=ONE_VIEWER)
                        await next_alert(viewer, likely=other, text=text)
            while linus.last is None or len(linus.received) < 8:
                await linus.next(likely=NOT_SUBSCRIBED)
            await grace.is_silent(likely="An alert is sent twice.", after=f"{number} alerts, each received once")

    @check(7, "keeps a viewer for which at most 64 alerts wait")
    async def test_queued(self, subject: Subject) -> None:
        async with (
            feed_server(subject) as server,
            server.viewer("Ada") as ada,
            server.viewer("Linus", tiny=True) as linus,
        ):
            texts = await self._fill(server, ada, linus, FEWER)
            linus.client.read_again()
            linus.client.after = f"Linus has read nothing, and {FEWER} alerts were queued for him behind a large one"
            for text in texts:
                await next_alert(linus, likely=Likely(TOO_SOON, closed=TOO_SOON), text=text)

    @check(7, "disconnects a viewer with 1013 when more than 64 alerts wait")
    async def test_overflow(self, subject: Subject) -> None:
        async with (
            feed_server(subject, CLOSE_TIMEOUT="30") as server,
            server.viewer("Ada") as ada,
            server.viewer("Linus", tiny=True) as linus,
        ):
            texts = await self._fill(server, ada, linus, 2 * QUEUED)
            linus.client.read_again()
            linus.client.after = f"Linus has read nothing, and {2 * QUEUED} alerts were sent behind a large one"
            frames = await linus.client.is_closed(1013, likely=UNLIMITED, besides=anything)
            received = [parsed(frame).get("text") for frame in frames if isinstance(frame, str)]
            # The writer may hold one more.
            if received != texts[: len(received)] or not QUEUED <= len(received) <= QUEUED + 3:
                raise Failure(
                    after=linus.client.after,
                    got=f"{len(received)} alerts, and then the close",
                    expect=f"the large alert and about {QUEUED} others, in order, and then the close",
                    likely=LOSES if len(received) < QUEUED else UNLIMITED,
                )

    @staticmethod
    async def _fill(server: FeedServer, ada: Viewer, linus: Viewer, count: int) -> list[str]:
        """Queue alerts behind a large one for a viewer that reads nothing, and return all their texts."""
        for viewer in (ada, linus):
            await viewer.subscribe("alerts")
        linus.client.stop_reading()
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
