"""Viewers of step 13: what each message must be, given the source of `source_probe.py`."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from .clients import Client
from .messages import parsed, show
from .model import Failure, Likely
from .subject import Subject
from .tasks import running

COUNTED = ("count", *(f"m{number}" for number in range(10)))
"""Topics whose newest values follow from the number of samples."""
NO_SNAPSHOT = (
    "Your code sends no snapshot for a subscribe. Answer it with the newest value of each of the viewer's topics, "
    "before any values."
)
VALUES_FIRST = (
    "Values arrive before the snapshot of the subscribe. Queue the snapshot and add the viewer to those that get "
    "samples in one place, without an await in between."
)
NO_VALUES = (
    "The viewer gets no values, although it has answered all earlier ones with seen. If its window is closed, you "
    "count the unseen messages of other viewers too: count them for each connection. Otherwise, send the merged values "
    "as soon as a sample, a seen or the end of its interval allows it."
)
EMPTY = (
    "The snapshot lacks topics. Store the newest value of each topic for the whole server, also of those that aren't "
    "in every sample, and take the snapshot from there."
)
OLD = (
    "The snapshot has older values than its seq. Take both in one place, without an await in between, and before the "
    "next sample is stored."
)
FOREIGN = (
    "Your code sends a topic that this viewer hasn't subscribed to: a message has all topics, or all viewers share one "
    "set of topics or one dict of values. Give each viewer a dict of its own and a set, and send only the topics in it."
)
ONLY_NEW = (
    "The snapshot has only the topics of this request. If later values lack the earlier topics too, the request "
    "replaces the earlier topics: add it to the viewer's set with update(). Otherwise, only the snapshot is built from "
    "the request: build it from the viewer's set."
)
START = (
    "A sample is lost between the snapshot and the first values after it. Add the viewer and take its snapshot without "
    "an await in between."
)
START_EARLY = (
    "The first range after a snapshot must start at seq + 1. With each snapshot, store seq + 1 as the start of the "
    "viewer's next range, and drop what was merged before."
)
JOINED = (
    "The ranges aren't joined: some samples are in none or in two of them. When you send values, store last + 1 as "
    "the start of the viewer's next range; merging only changes last."
)
NO_RANGE = (
    "The range of this message is empty: it has values that were merged for another viewer, or its first is too high. "
    "Give each viewer a dict of its own, and store last + 1 as the start of its next range."
)
LOST = (
    "A value is lost on the way to the viewer, so only a part of the samples is merged. Give each viewer a dict of its "
    "own, and add the values of each sample, topic by topic, from the snapshot on. Don't replace it by the last sample."
)
NOT_NEWEST = (
    "A value isn't the newest one at last. Each sample overwrites the viewer's merged value of the same topic, and "
    "last is the number of that sample."
)
SNAPSHOT_NEWER = (
    "The snapshot has newer values than its seq. Take both in one place, without an await in between, and raise seq "
    "where a sample is stored."
)
NEWER = (
    "A value is newer than last. The message shares a dict that the next sample changes before the message is encoded. "
    "Encode it when you queue it, or give each message a dict of its own."
)
DISCONNECTED = (
    "A viewer is disconnected, although only values wait for it. Merge the values of a viewer that doesn't keep up "
    "instead of queueing them."
)
UNCHANGED = (
    "The message has a topic that hasn't changed in its range: you send the newest value of each topic, or values that "
    "were merged for another viewer. Give each viewer a dict of its own, and send what was merged since the last "
    "message."
)
NOT_DROPPED = (
    "The first values after a snapshot have a topic that hasn't changed since: it was merged before, or for another "
    "viewer. Give each viewer a dict of its own, and drop what was merged with each snapshot."
)
NOTHING_CHANGED = (
    "The message has no values. If none of the viewer's topics has changed, send nothing: the range of the next "
    "message includes these samples."
)
ALERT_FORM = 'Send each alert as {"type": "alert", "text": ...}, with the text that alerts() returned.'
IN_SNAPSHOT = "The snapshot has a value for alerts. This topic has texts and no values, so leave it out."
NO_NUMBER = "A value isn't a number. Send the values as sample() returned them."
ZERO = (
    "A value of 0 is left out: your code tests a value with `if`, and 0 is false. Look for the topic instead, as in "
    "`if topic in values`, or compare with None."
)
TWO_COUNTS = (
    "Two viewers get different values for the same seq. Count the samples once, in the producer, and not for each "
    "connection."
)
BACK = "After a snapshot, the viewer gets values from before it. Drop what was merged, and queue both in one order."
STEP = 10
"""Samples for which the judge waits at a time."""


def expected(topic: str, count: int) -> float | None:
    """Return the newest value of a topic after this number of samples, or None if it has none yet."""
    if topic == "rare":
        return 1.0 if count else None
    if topic == "zero":
        return float(count % 2) if count else None
    if topic.startswith("m"):
        newest = count - (count - int(topic[1:])) % 10
        return float(newest) if newest > 0 else None
    return float(count) if count else None


def is_number(value: object) -> bool:
    """Return whether a value from JSON is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Samples:
    """The relation of `seq` and the values, which is the same for all viewers of a server."""

    def __init__(self) -> None:
        self.offset: int | None = None
        """The number of samples minus `seq`."""


class Viewer:
    """A viewer that checks each message against the source.

    Args:
        client: its connection, open and without messages so far.
        samples: shared by the viewers of a server.
    """

    def __init__(self, client: Client, samples: Samples) -> None:
        self.client = client
        self.samples = samples
        self.topics: set[str] = set()
        self.last: int | None = None
        """The number of the last sample that it knows."""
        self.is_new = True
        """Whether the last message was a snapshot."""
        self.received: list[dict[str, Any]] = []
        """The messages with values, since the last snapshot."""

    async def join(self, *topics: str) -> None:
        """Subscribe, and read nothing: for checks that come before those of the snapshot."""
        await self.client.send({"type": "subscribe", "topics": list(topics)})

    async def counts(self, *, likely: str) -> int:
        """Read up to a value of `count`, answer the values with seen, and return the value. Check nothing else.

        Raises:
            Failure: none arrives.
        """
        while True:
            expect = 'a message with values, {"count": ...} among them'
            message = await self.client.next_object(expect=expect, likely=likely)
            values = message.get("values") if isinstance(message, dict) else None
            if isinstance(message, dict) and message.get("type") == "values" and "last" in message:
                await self.see(message)
            if isinstance(values, dict) and is_number(values.get("count")):
                return int(values["count"])

    async def subscribe(self, *topics: str, likely: str | Likely = NO_SNAPSHOT) -> dict[str, Any]:
        """Subscribe, and read up to the snapshot.

        Raises:
            Failure: it doesn't arrive, or is wrong.
        """
        await self.client.send({"type": "subscribe", "topics": list(topics)})
        did = self.client.did
        try:
            return await self.snapshot(*topics, likely=likely)
        except Failure as failure:
            # Not the seen for values from before the snapshot.
            failure.sent = did
            raise

    async def snapshot(self, *topics: str, likely: str | Likely = NO_SNAPSHOT) -> dict[str, Any]:
        """Read up to the snapshot that answers a subscribe for these topics.

        Raises:
            Failure: it doesn't arrive, or is wrong.
        """
        wanted = 'a message {"type": "snapshot", "seq": ..., "values": {...}}'
        while True:
            message = await self.client.next_object(expect=wanted, likely=likely)
            kind = message.get("type") if isinstance(message, dict) else None
            # Values that were queued before the subscribe.
            if kind == "values" and self.last is not None:
                self.check_values(message)
                await self.see(message)
            elif kind == "alert" and "alerts" in self.topics:
                continue
            elif kind == "snapshot":
                break
            else:
                failure = self.failure(message, wanted, likely)
                if kind == "values" and await self._snapshot_follows():
                    failure.likely = VALUES_FIRST
                raise failure
        earlier = self.topics - set(topics)
        self.topics.update(topics)
        seq, values = message.get("seq"), message.get("values")
        if set(message) != {"type", "seq", "values"} or type(seq) is not int or not isinstance(values, dict):
            likely = "Give the snapshot exactly the keys type, seq and values: a number and an object."
            raise self.failure(message, wanted, likely)
        if foreign := values.keys() - self.topics:
            raise self.failure(message, f"no value of {sorted(foreign)[0]}", FOREIGN)
        if "alerts" in values:
            failure = self.failure(message, "no value of alerts", IN_SNAPSHOT)
            failure.number = 7
            raise failure
        self.last, self.is_new, self.received = seq, True, []
        try:
            self._check_numbers(message, values, seq, seq)
        except Failure as failure:
            if failure.likely == EMPTY and earlier and not earlier & values.keys():
                failure.likely = ONLY_NEW
            raise
        return message

    async def _snapshot_follows(self) -> bool:
        """Return whether one of the next messages is a snapshot, to explain a failure."""
        for _ in range(10):
            message = parsed(await self.client.receives_any() or "")
            if isinstance(message, dict) and message.get("type") == "snapshot":
                return True
        return False

    async def next(self, *, seen: bool = True, likely: str | Likely = NO_VALUES) -> dict[str, Any]:
        """Read the next values, and answer them.

        Args:
            seen: whether to answer them with seen.
            likely: the mistake, if none arrive.

        Raises:
            Failure: none arrive, or they're wrong.
        """
        wanted = f'values with "first": {self._next_first()}'
        try:
            message = await self.client.next_object(expect=wanted, likely=likely)
        except Failure as failure:
            if "code 1013" in failure.got:
                failure.likely, failure.number = DISCONNECTED, 5
            raise
        if not isinstance(message, dict) or message.get("type") != "values":
            raise self.failure(message, wanted, likely)
        self.check_values(message)
        if seen:
            await self.see(message)
        return message

    async def see(self, message: dict[str, Any]) -> None:
        """Answer values with seen."""
        await self.client.send({"type": "seen", "last": message["last"]})

    async def until(self, last: int, *, likely: str | Likely = NO_VALUES) -> None:
        """Read and answer values until one of them covers this sample.

        Raises:
            Failure: none does, or a message is wrong.
        """
        while self.last is None or self.last < last:
            await self.next(likely=likely)

    @asynccontextmanager
    async def reading(self, *, likely: str | Likely = NO_VALUES) -> AsyncIterator[None]:
        """Read and answer values in a task, until the end of the block.

        Raises:
            Failure: a message is wrong, or none arrives.
        """

        async def read() -> None:
            while True:
                await self.next(likely=likely)

        async with running(read()) as (task,):
            try:
                yield
            finally:
                # A failure of this task explains more than one of the block, which may only follow from it.
                if task.done():
                    task.result()

    async def is_silent(self, *, likely: str, after: str) -> None:
        """Check that nothing is queued for the viewer: the next message is the error for a malformed one.

        Args:
            likely: the mistake, if something else arrives.
            after: the events before.

        Raises:
            Failure: something else arrives.
        """
        await self.client.send("silence")
        self.client.after = after
        expect = 'no values: the next message is {"type": "error", ...}, for the malformed message'
        message = await self.client.next_object(expect=expect, likely="The malformed message gets no error. Send one.")
        if not isinstance(message, dict) or message.get("type") != "error":
            raise self.failure(message, expect, likely)

    def failure(self, message: object, expect: str, likely: str | Likely) -> Failure:
        """Return the failure for an unexpected message."""
        cause = likely if isinstance(likely, str) else likely.wrong or likely.silence
        return Failure(sent=self.client.did, after=self.client.after, got=show(message), expect=expect, likely=cause)

    def _next_first(self) -> int:
        return 1 if self.last is None else self.last + 1

    def check_values(self, message: dict[str, Any]) -> None:
        """Check that a message has the next range, and each changed value.

        Raises:
            Failure: it doesn't.
        """
        first, last, values = (message.get(key) for key in ("first", "last", "values"))
        if isinstance(values, dict) and "alerts" in values:
            failure = self.failure(message, "no value of alerts", ALERT_FORM)
            failure.number = 7
            raise failure
        numbers = type(first) is int and type(last) is int and isinstance(values, dict)
        if not numbers or set(message) != {"type", "first", "last", "values"}:
            wanted = '{"type": "values", "first": ..., "last": ..., "values": {...}}'
            raise self.failure(message, wanted, "Give it exactly the keys type, first, last and values.")
        wanted = f'values with "first": {self._next_first()}'
        if first != self._next_first():
            likely = JOINED
            if self.is_new and self.last is not None:
                likely = START if first > self.last else BACK if last <= self.last else START_EARLY
            raise self.failure(message, wanted, likely)
        if last < first:
            raise self.failure(message, 'a "last" that is at least "first"', NO_RANGE)
        if not values:
            raise self.failure(message, "at least one value", NOTHING_CHANGED)
        if foreign := values.keys() - self.topics:
            raise self.failure(message, f"no value of {sorted(foreign)[0]}", FOREIGN)
        is_new, self.last, self.is_new = self.is_new, last, False
        self.received.append(message)
        self._check_numbers(message, values, first, last, is_new=is_new)

    def _check_numbers(
        self, message: dict[str, Any], values: dict[str, Any], first: int, last: int, *, is_new: bool = False
    ) -> None:
        if self.samples.offset is None:
            if not is_number(values.get("count")):
                return
            # The first sample may have the number 0 or 1.
            self.samples.offset = int(values["count"]) - last
        count = last + self.samples.offset
        is_snapshot = message["type"] == "snapshot"
        for topic in sorted(self.topics):
            if topic in ("burst", "alerts"):
                continue
            wanted, got = expected(topic, count), values.get(topic)
            changed = wanted is not None and (is_snapshot or wanted >= first + self.samples.offset)
            if topic == "zero" and wanted is not None:
                # After two samples, it's the same again.
                changed = is_snapshot or first == last
                if got is None and changed:
                    raise self.failure(message, f'"zero": {wanted} at the sample {last}', ZERO)
                if got is not None:
                    changed = True
            if got is not None and got == wanted and not changed:
                likely = NOT_DROPPED if is_new else UNCHANGED
                raise self.failure(message, f"no value of {topic[:20]}, which hasn't changed", likely)
            if got == wanted or (got is None and not changed):
                continue
            expect = f'"{topic[:20]}": {wanted} at the sample {last}'
            if wanted is None:
                expect = f"no value of {topic[:20]} at the sample {last}"
            if got is None and is_snapshot:
                raise self.failure(message, expect, EMPTY)
            if got is None:
                raise self.failure(message, expect, START) if is_new else self._merging(message, expect, LOST)
            if not is_number(got):
                raise self.failure(message, expect, NO_NUMBER)
            if is_snapshot and (wanted is None or got > wanted):
                newest = max(each for each in values.values() if is_number(each))
                raise self.failure(message, expect, TWO_COUNTS if newest > count + 1 else SNAPSHOT_NEWER)
            if wanted is None:
                raise self.failure(message, expect, NEWER)
            if got > wanted:
                raise self.failure(message, expect, NEWER)
            raise self.failure(message, expect, OLD) if is_snapshot else self._merging(message, expect, NOT_NEWEST)

    def _merging(self, message: dict[str, Any], expect: str, likely: str) -> Failure:
        """Return a failure of TODO 5, which an earlier check may find."""
        failure = self.failure(message, expect, likely)
        failure.number = 5
        return failure


class FeedServer:
    """An answer with the source of `source_probe.py`.

    Args:
        subject: the running server.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.samples = Samples()

    @asynccontextmanager
    async def viewer(self, who: str, **options: bool) -> AsyncIterator[Viewer]:
        """Connect a viewer without topics.

        Args:
            who: its name in failures.
            options: see `Subject.client`.
        """
        async with self.subject.client("/ws", who=who, **options) as client:
            yield Viewer(client, self.samples)

    async def state(self) -> dict[str, Any]:
        """Return what the source has counted.

        Raises:
            Failure: the server doesn't answer.
        """
        likely = "The event loop is blocked. Call sample() in a thread, with await asyncio.to_thread()."
        state: dict[str, Any] = await self.subject.get_json("/judge/state", likely=likely)
        return state

    async def push(self, *, values: Iterable[dict[str, float]] = (), alerts: Iterable[str] = ()) -> None:
        """Add values to the next samples, one object to each, and return these alerts after the next one."""
        pushed = {"values": list(values), "alerts": list(alerts)}
        await self.subject.request("POST", "/judge/push", likely="The event loop is blocked.", json=pushed)

    async def called(self, calls: int, *, likely: str, after: str = "a viewer has subscribed") -> None:
        """Wait until this number of calls of sample() has started.

        Raises:
            Failure: it hasn't in time.
        """
        await self._has("calls", calls, likely=likely, after=after)

    async def counted(self, count: int, *, likely: str, after: str = "a viewer has subscribed") -> None:
        """Wait until the source has counted this number of samples.

        Raises:
            Failure: it hasn't in time.
        """
        await self._has("count", count, likely=likely, after=after)

    async def _has(self, key: str, count: int, *, likely: str, after: str) -> None:
        first = (await self.state())[key] + STEP
        # In steps, so a busy machine may need longer than the patience for all of them.
        for wanted in [*range(first, count, STEP), count]:
            await self.subject.eventually(
                "/judge/state",
                lambda state, wanted=wanted: state[key] >= wanted,
                after=after,
                expect=f"at least {wanted} calls of sample()",
                likely=likely,
                shown=lambda state: f"{state[key]} calls of sample()",
            )


@asynccontextmanager
async def feed_server(
    subject: Subject, *, counting: bool = False, noisy: bool = False, **settings: str
) -> AsyncIterator[FeedServer]:
    """Start the answer with the judge's source, for one check.

    Args:
        subject: the running answer.
        counting: see `Subject.another`.
        noisy: see `Subject.another`.
        settings: environment variables; see `source_probe.py`.
    """
    async with subject.another(module="source_probe", counting=counting, noisy=noisy, **settings) as other:
        yield FeedServer(other)


async def shared_feed_server(subject: Subject) -> FeedServer:
    """Return the answer with the judge's source, in a server that several checks share: they push nothing."""
    return FeedServer(await subject.probe("source_probe"))
