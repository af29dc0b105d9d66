"""Step 13, TODO 3 and 4: a snapshot for each subscribe, joined ranges after it, and unsubscribe."""

from judge.conversation import pause
from judge.members import BAD
from judge.messages import show
from judge.model import Failure, Likely, check
from judge.subject import Subject
from judge.viewers import COUNTED, LOST, TWO_COUNTS, Viewer, feed_server, shared_feed_server

from .producer import NEVER_STOPS, stops

FAST = 1000
"""Samples a second in the checks of joined ranges."""
ROUNDS = 40
"""Subscribes in a row while a thousand samples a second are taken."""
BAD_REQUESTS = (
    '{"type": "subscribe"}',
    '{"type": "subscribe", "topics": "count"}',
    '{"type": "subscribe", "topics": ["count", 1]}',
    '{"type": "subscribe", "topics": null}',
    '{"type": "unsubscribe", "topics": {"count": 1}}',
    '{"type": "seen"}',
    '{"type": "seen", "last": "1"}',
    '{"type": "seen", "last": null}',
    '{"type": "seen", "last": 1.5}',
    '{"type": "seen", "last": true}',
    '{"type": "rate"}',
    '{"type": "rate", "per_second": 0}',
    '{"type": "rate", "per_second": 0.5}',
    '{"type": "rate", "per_second": 20.5}',
    '{"type": "rate", "per_second": -1}',
    '{"type": "rate", "per_second": "5"}',
    '{"type": "rate", "per_second": true}',
    '{"type": "rate", "per_second": NaN}',
)
"""Messages of this step that aren't valid."""
NO_TOPICS = (
    "A subscribe with an empty list of topics gets no snapshot. Answer each subscribe with one, of all topics that "
    "this viewer has."
)
STARTS_AGAIN = (
    "seq starts again after a pause of the producer. Store it for the whole server, next to the newest values."
)
NO_ERROR = (
    "This message isn't valid, and gets no error. Let a Pydantic model check each type of message, and answer an error "
    "if it refuses one."
)
STRICT = (
    "Your model converts this value into a number. Add model_config = ConfigDict(strict=True) to it, so only numbers "
    "are accepted."
)
CLOSED = "Your code closes the connection because of this message. Answer an error, and go on."
UNKNOWN = (
    "Your code accepts an unknown topic. Compare the topics of a request with TOPICS before you change anything, and "
    "answer an error."
)
HALF = (
    "A request with an unknown topic is done in part. Look at all its topics first, and change nothing if one of them "
    "is unknown."
)
AFTER_ERROR = "The viewer gets no values after an error. An error changes nothing: keep its topics, and go on."
NOT_UNSUBSCRIBED = (
    'Your code doesn\'t answer an unsubscribe. Send {"type": "unsubscribed", "topics": ...} with the topics of the '
    "request."
)
TOO_LATE = (
    "The viewer gets a value of a topic after unsubscribed. Remove the topics from the viewer's set before you queue "
    "the answer, without an await in between."
)
ALL_GONE = (
    "After an unsubscribe from one topic, the viewer gets no values of the others. Remove only the topics of the "
    "request."
)
SHARED_TOPICS = (
    "One viewer's subscribe or unsubscribe changes the topics of another one. Keep a set of topics for each connection."
)


class Snapshots:
    @check(3, "answers subscribe with a snapshot of the viewer's topics")
    async def test_snapshot(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada, server.viewer("Grace") as grace:
            await ada.subscribe("count")
            # By now, `rare` has its only value, and the topics with a digit have the first one.
            await ada.until(12)
            grace.client.after = "the server has taken more than ten samples, and rare was in the first one only"
            await grace.subscribe("rare", "m3", "m7")
            grace.client.after = None
            async with ada.reading():
                # Most samples have none of these topics, so no message comes for them.
                for _ in range(3):
                    await grace.next()
                # All of its topics are in the next one, not only the new one.
                grace.client.after = "an earlier subscribe for rare, m3 and m7"
                await grace.subscribe("count", "zero")
                for _ in range(4):
                    await grace.next()
                grace.client.after = "earlier subscribes for five topics"
                await grace.subscribe(likely=NO_TOPICS)

    @check(3, "joins the ranges without a gap at 1,000 samples a second")
    async def test_joined(self, subject: Subject) -> None:
        async with (
            feed_server(subject, SAMPLES_PER_SECOND=str(FAST)) as server,
            server.viewer("Ada") as ada,
            server.viewer("Grace") as grace,
        ):
            await ada.subscribe(*COUNTED)
            for number in range(ROUNDS):
                await ada.next()
                # A sample may come between the snapshot and the first values: of a new viewer, and of an earlier one.
                async with server.viewer(f"viewer {number + 1}") as new:
                    await new.subscribe(*COUNTED)
                    await new.next()
                await grace.subscribe(*COUNTED)
                await grace.next()
            await ada.until((ada.last or 0) + 100)

    @check(3, "counts seq once for all viewers, and goes on after a pause of the producer", pauses=True)
    async def test_one_seq(self, subject: Subject) -> None:
        async with feed_server(subject) as server:
            async with server.viewer("Ada") as ada:
                await ada.subscribe("count")
                await ada.until(5)
                async with server.viewer("Grace") as grace:
                    snapshot = await grace.subscribe("count")
                    if snapshot["seq"] < 3:
                        grace.client.after = f"Ada has received values up to {ada.last}"
                        raise grace.failure(snapshot, f'a "seq" of about {ada.last}', TWO_COUNTS)
                    await grace.next()
            await pause(0)
            await stops(server, after="the last viewer has left", likely=NEVER_STOPS)
            async with server.viewer("Linus") as linus:
                linus.client.after = f"all viewers had left for more than a second; Ada has received {ada.last} samples"
                try:
                    snapshot = await linus.subscribe("count", "rare")
                except Failure as failure:
                    if failure.likely == TWO_COUNTS:
                        failure.likely = STARTS_AGAIN
                    raise
                if snapshot["seq"] < (ada.last or 0):
                    raise linus.failure(snapshot, f'a "seq" of at least {ada.last}', STARTS_AGAIN)
                await linus.next()
                await linus.next()

    @check(3, "answers malformed messages with an error, and goes on")
    async def test_bad(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada:
            for message in (*BAD, *BAD_REQUESTS):
                await ada.client.send(message)
                converted = message in ('{"type": "rate", "per_second": "5"}', '{"type": "seen", "last": "1"}')
                converted = converted or (isinstance(message, str) and message.endswith("true}"))
                await ada.client.gets_error(likely=Likely(STRICT if converted else NO_ERROR, closed=CLOSED))
            await ada.subscribe("count")
            await ada.next(likely=AFTER_ERROR)

    @check(3, "answers an unknown topic with an error, and does nothing of that request")
    async def test_unknown(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada:
            await self._is_refused(ada, "subscribe", "count", "nowhere")
            await ada.is_silent(likely=HALF, after="the request before was answered with an error")
            await ada.subscribe("m1", "m2", "count")
            # With a value of count, the expected values of the others are known.
            await ada.until((ada.last or 0) + 2)
            await self._is_refused(ada, "unsubscribe", "count", "nowhere")
            await self._is_refused(ada, "subscribe", "nowhere", "m5")
            # Each digit comes once in ten samples. Values of m5 aren't expected, and those of count are.
            ada.client.after = "two requests with the unknown topic nowhere"
            try:
                await ada.until((ada.last or 0) + 12, likely=AFTER_ERROR)
            except Failure as failure:
                if "m5" in failure.expect or "count" in failure.expect:
                    failure.likely, failure.number = HALF, None
                raise

    @staticmethod
    async def _is_refused(viewer: Viewer, kind: str, *topics: str) -> None:
        await viewer.client.send({"type": kind, "topics": list(topics)})
        sent, wanted = viewer.client.did, 'a message {"type": "error", "detail": "..."}'
        for _ in range(100):
            message = await viewer.client.next_object(expect=wanted, likely=Likely(UNKNOWN, closed=CLOSED))
            viewer.client.did = sent
            if not isinstance(message, dict) or message.get("type") != "values" or not viewer.topics:
                break
            viewer.check_values(message)
            await viewer.see(message)
        viewer.client.did = sent
        if not isinstance(message, dict) or message.get("type") != "error":
            raise viewer.failure(message, wanted, UNKNOWN)


async def unsubscribe(viewer: Viewer, topics: list[str]) -> None:
    """Unsubscribe from these topics, and read up to the answer."""
    await viewer.client.send({"type": "unsubscribe", "topics": topics})
    sent, wanted = viewer.client.did, show({"type": "unsubscribed", "topics": topics})
    while True:
        message = await viewer.client.next_object(expect=wanted, likely=NOT_UNSUBSCRIBED)
        if isinstance(message, dict) and message.get("type") == "values":
            try:
                viewer.check_values(message)
            except Failure as failure:
                if failure.likely == LOST:
                    # The topics are removed already, and no answer was sent before these values.
                    failure.likely, failure.number, failure.expect = NOT_UNSUBSCRIBED, None, f"{wanted} before it"
                raise
            await viewer.see(message)
            viewer.client.did = sent
            continue
        if isinstance(message, dict) and message.get("type") == "alert" and "alerts" in topics:
            continue
        answered = message.get("topics") if isinstance(message, dict) else None
        if not isinstance(answered, list) or message != {"type": "unsubscribed", "topics": answered}:
            raise viewer.failure(message, wanted, NOT_UNSUBSCRIBED)
        if sorted(map(str, answered)) != sorted(topics):
            raise viewer.failure(message, wanted, "The answer names other topics than the request. Send the same.")
        viewer.topics.difference_update(topics)
        return


class Unsubscribe:
    @check(4, "sends nothing of a topic after unsubscribed")
    async def test_unsubscribe(self, subject: Subject) -> None:
        async with feed_server(subject, SAMPLES_PER_SECOND="200") as server:
            async with server.viewer("Ada") as ada, server.viewer("Grace") as grace:
                await ada.subscribe("count", *COUNTED[1:])
                await grace.subscribe("count")
                for topics in (["m3"], ["m1", "m2"], ["m9", "m3"]):
                    await unsubscribe(ada, topics)
                    try:
                        await ada.until((ada.last or 0) + 15, likely=ALL_GONE)
                    except Failure as failure:
                        if any(f"no value of {topic}" == failure.expect for topic in topics):
                            failure.likely, failure.number = TOO_LATE, None
                        raise
                    await grace.until(ada.last or 0, likely=SHARED_TOPICS)
