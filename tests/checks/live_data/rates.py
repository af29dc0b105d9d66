"""Step 13, TODO 6: at most so many messages a second, for each viewer."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from judge.conversation import pause
from judge.model import Failure, check
from judge.subject import Subject
from judge.viewers import LOST, FeedServer, Viewer, feed_server

from .snapshots import unsubscribe

LIMIT = 5
"""Messages a second of a viewer with a rate."""
FAST = 100
"""Samples a second, so that an answer that counts samples is found."""
SAMPLES = 120
"""Samples in which such a viewer gets about six messages: 1.2 s."""
AT_MOST = 9
AT_LEAST = 5
APART = 10
"""Samples between two messages, at least in most cases. With this rate, there are 20."""
BURST = 6
"""Values of a burst, one in each sample, of 20 a second."""
SLOW = 1
"""Messages a second in the check with the burst."""
HALF_A_SECOND = 2
"""Messages a second in the check of single intervals, which have 50 samples."""
EARLIEST = 0.36
"""The part of an interval, in samples, that's between two messages at least. A busy machine takes fewer samples."""
BETWEEN = 24
"""Samples between the two values of that check, in which the rate must arrive."""
NO_ERROR = "A malformed message gets no error. Send one."
ROUNDS = 5
"""The largest number of attempts. On a busy machine, an event may come so late that an attempt proves nothing."""
IN_TIME = 38
"""Samples after which the message shows that the rate arrived during the interval."""
LATEST_RATE = 65
"""Samples after which it's late, although the timer is. An interval that begins 30 samples later ends after 80."""
LATEST = 28
"""Samples after which the last value of the burst is late. It's promised after 22 samples."""
TOO_MANY = (
    "The viewer gets more messages than its rate allows. After each message with values, wait for 1 / per_second "
    "before you send the next one, and merge the samples meanwhile."
)
TOO_FEW = (
    "The viewer gets fewer messages than its rate allows. Start the interval, which is 1 / per_second, when you send a "
    "message, and send the merged values when it ends."
)
DEBOUNCED = (
    "The viewer gets nothing as long as its values change: each sample restarts the interval. Start the interval when "
    "you send a message, and let a sample only merge its values meanwhile."
)
AT_ONE_TIME = (
    "The messages of a second are sent right after each other, and none for the rest of it: your code counts the "
    "messages of each second. Wait for 1 / per_second after each message instead."
)
DROPS = (
    "A sample that's too early for the viewer's rate is dropped, with its values. Merge it, and send the merged values "
    "when the interval ends."
)
SUBSCRIBE_RESETS = (
    "After another subscribe, the rate of the viewer no longer applies. A snapshot drops the merged values, and leaves "
    "the rate as it is."
)
FOR_ALL = "A rate of one viewer changes what another one gets. Store the rate for each connection."
LEADING = (
    "The last value of a burst isn't sent, because nothing changes after it. If a value arrives too early for the "
    "viewer's rate, start a timer that sends the merged values when the interval ends."
)
NEXT_INTERVAL = (
    "A new rate takes effect only when the interval of the old one has ended. When a rate arrives, replace its timer "
    "by one that ends 1 / per_second after the last message with values."
)
STUCK = (
    "After an unsubscribe from all topics, and another subscribe, the viewer gets no values: the timer of its interval "
    "was canceled, and your code still waits for it. Set it to None when you cancel it."
)
NOT_NEW_RATE = "The second rate of a viewer has no effect. Each rate replaces the one before."
RATE_FIRST = (
    "A rate that arrives before the first subscribe has no effect. Store it for the connection, whether it has topics "
    "or not."
)
SUBSCRIBE_ENDS = (
    "Another subscribe ends the interval, so the next message with values arrives too early. A snapshot drops the "
    "merged values, and leaves the interval as it is."
)
FROM_THE_RATE = (
    "A new rate starts another interval, so the next message with values arrives too late. Count each interval from "
    "the last message with values: store its time."
)
FIRST_RATE = (
    "The first rate of a viewer doesn't count from the last message with values, so the next one arrives too early. "
    "Store the time of each message with values, also without a rate."
)
THIRD = (
    "When an interval ends, a third message with values is sent, although two are unseen. Let one method decide: it "
    "looks at the interval and at the unseen messages, and a sample, a seen and the end of an interval all call it."
)
SOON = (
    "The last value of a burst arrives too late. Start the interval with the last message, and send the merged values "
    "when it ends."
)


Shown = tuple[Viewer, dict[str, Any], int]
Attempt = Callable[[int], Awaitable[Shown | None]]


@contextmanager
def with_rate() -> Iterator[None]:
    """Explain a value that's lost while a rate delays it, although all values arrive without a rate.

    Raises:
        Failure: a check in the block fails.
    """
    try:
        yield
    except Failure as failure:
        failure.number = None
        if failure.likely == LOST:
            failure.likely = DROPS
        raise


class Rates:
    @check(6, "limits the messages of one viewer to its rate", pauses=True)
    async def test_rate(self, subject: Subject) -> None:
        async with (
            feed_server(subject, SAMPLES_PER_SECOND=str(FAST)) as server,
            server.viewer("Linus") as linus,
            server.viewer("Ada") as ada,
        ):
            await ada.subscribe("count", "m2")
            topics = ["count", "m1", "m2", "m3"]
            await linus.subscribe(*topics)
            await linus.client.send({"type": "rate", "per_second": LIMIT})
            await pause(0)
            with with_rate():
                async with ada.reading(likely=FOR_ALL):
                    await self._is_limited(linus, ada, f"Linus has the rate {LIMIT}, and Ada has none", TOO_MANY)
                    # During an interval.
                    await unsubscribe(linus, topics)
                    await linus.subscribe(*topics)
                    after = f"the rate {LIMIT}, an unsubscribe from all topics, and a subscribe"
                    linus.client.after = after
                    await linus.next(likely=STUCK)
                    await self._is_limited(linus, ada, after, SUBSCRIBE_RESETS)
                    # A higher rate replaces it.
                    await linus.client.send({"type": "rate", "per_second": 20})
                    count = len(await self._counted(linus, ada))
                    if count <= 1.3 * AT_MOST:
                        expect = f"about 24 messages with values in {SAMPLES} samples"
                        after = f"the rate {LIMIT}, and then the rate 20"
                        raise Failure(
                            after=after, got=f"{count} messages for Linus", expect=expect, likely=NOT_NEW_RATE
                        )
                    await linus.client.send({"type": "rate", "per_second": SLOW})
                    # The second message starts an interval of a second.
                    for _ in range(2):
                        last = (await linus.next())["last"]
                    await linus.client.send({"type": "rate", "per_second": 20})
                    linus.client.after = f"the rate {SLOW}, and during its interval the rate 20"
                    message = await linus.next()
                    if message["last"] > last + FAST // 2:
                        raise linus.failure(message, f"values with a last of about {last + 5}", NEXT_INTERVAL)

    async def _is_limited(self, linus: Viewer, ada: Viewer, after: str, too_many: str) -> None:
        lasts = await self._counted(linus, ada)
        count, others = len(lasts), len(ada.received)
        gaps = [later - earlier for earlier, later in zip(lasts, lasts[1:], strict=False)]
        if sum(gap < APART for gap in gaps) > len(gaps) // 2 and max(gaps) > FAST // 2:
            got = f"messages for Linus at the samples {', '.join(map(str, lasts))}"
            raise Failure(after=after, got=got, expect="one about every 20 samples", likely=AT_ONE_TIME)
        expect = f"about 6 messages with values in {SAMPLES} samples, which take 1.2 s"
        if not AT_LEAST <= count <= AT_MOST:
            likely = too_many if count > AT_MOST else TOO_FEW
            raise Failure(after=after, got=f"{count} messages for Linus", expect=expect, likely=likely)
        if others < 1.5 * count:
            expect = "a message with values for nearly each sample, as without a rate"
            raise Failure(after=after, got=f"{others} messages for Ada", expect=expect, likely=FOR_ALL)

    @staticmethod
    async def _counted(linus: Viewer, ada: Viewer) -> list[int]:
        """Return the lasts of the messages that a viewer gets for some samples, and count those of another viewer."""
        first = await linus.next(likely=DEBOUNCED)
        linus.received.clear()
        ada.received.clear()
        while (linus.last or 0) < first["last"] + SAMPLES:
            await linus.next(likely=DEBOUNCED)
        return [message["last"] for message in linus.received]

    @check(6, "sends no third unseen message when an interval ends")
    async def test_rate_and_window(self, subject: Subject) -> None:
        async with (
            feed_server(subject, SAMPLES_PER_SECOND=str(FAST)) as server,
            server.viewer("Linus") as linus,
            server.viewer("Ada") as ada,
        ):
            await ada.subscribe("count")
            await linus.subscribe("count")
            await linus.client.send({"type": "rate", "per_second": 20})
            with with_rate():
                unseen = [await linus.next(seen=False), await linus.next(seen=False)]
                # Several intervals.
                await ada.until(unseen[-1]["last"] + 40)
                after = "the rate 20, two unseen messages with values, and 40 samples, which take 0.4 s"
                await linus.is_silent(likely=THIRD, after=after)
                await linus.see(unseen[0])
                message = await linus.next(seen=False)
                if message["last"] < unseen[-1]["last"] + 40:
                    raise linus.failure(message, f'a "last" of at least {unseen[-1]["last"] + 40}', THIRD)

    @check(6, "sends the last value of a burst", pauses=True)
    async def test_burst(self, subject: Subject) -> None:
        async with (
            feed_server(subject) as server,
            server.viewer("Linus") as linus,
            server.viewer("Grace") as grace,
            server.viewer("Ada") as ada,
        ):
            await ada.subscribe("count")
            await linus.subscribe("burst")
            await linus.client.send({"type": "rate", "per_second": SLOW})
            await grace.subscribe("burst")
            await pause(0)
            promised = f"{1 / SLOW + 0.1:g} s, {20 * (1 / SLOW + 0.1):g} samples"
            async with ada.reading():
                for round_number in range(2):
                    values = [{"burst": 100.0 * round_number + number + 1} for number in range(BURST)]
                    await server.push(values=values)
                    linus.client.after = (
                        f"{BURST} values in {BURST} samples, and no change after; Linus's rate is {SLOW}"
                    )
                    for viewer in (grace, linus):
                        while (await viewer.next(likely=LEADING))["values"].get("burst") != values[-1]["burst"]:
                            pass
                    # Linus may get it a second after Grace: then Ada has received that many samples more.
                    late = (ada.last or 0) - (grace.last or 0)
                    if late > LATEST:
                        got = f"the last value {late} samples after it was taken"
                        expect = f"the last value within {promised}"
                        raise Failure(after=linus.client.after, got=got, expect=expect, likely=SOON)

    @check(6, "counts each interval from the last message with values", pauses=True)
    async def test_interval(self, subject: Subject) -> None:
        rate = {"type": "rate", "per_second": HALF_A_SECOND}
        async with (
            feed_server(subject, SAMPLES_PER_SECOND=str(FAST)) as server,
            server.viewer("Linus") as linus,
            server.viewer("Ada") as ada,
        ):
            await ada.subscribe("count")
            with with_rate():
                await self._keeps_interval(partial(self._first_rate, server), FIRST_RATE, FAST // SLOW)
                await linus.client.send(rate)
                await linus.subscribe("count")
                await pause(0)
                linus.client.after = f"the rate {HALF_A_SECOND}, and then the first subscribe"
                await linus.next()
                await self._keeps_interval(partial(self._next_two, linus), RATE_FIRST)
                await self._keeps_interval(partial(self._subscribe_between, linus), SUBSCRIBE_ENDS)
                for _ in range(ROUNDS):
                    last = (await linus.next())["last"]
                    await ada.until(last + 30)
                    await linus.client.send(rate)
                    linus.client.after = f"values, the same rate, {HALF_A_SECOND}, once more 30 samples later"
                    message = await linus.next()
                    if message["last"] > last + LATEST_RATE:
                        raise linus.failure(message, f'a "last" of about {last + 50}', FROM_THE_RATE)
                    # Otherwise, the interval may have ended before the second rate.
                    if message["last"] > last + IN_TIME:
                        break

    @staticmethod
    async def _keeps_interval(attempt: Attempt, likely: str, samples: int = FAST // HALF_A_SECOND) -> None:
        """Check that an interval of so many samples is between two messages with values.

        On a busy machine, an interval may have few samples, so a viewer must get the second message too early twice.

        Args:
            attempt: returns a viewer, its second message, and the `last` of the first; or None if it proves nothing.
            likely: the mistake, if the second message is too early.
            samples: the length of an interval.

        Raises:
            Failure: it's too early.
        """
        early = 0
        for number in range(ROUNDS):
            shown = await attempt(number)
            if shown is None:
                continue
            viewer, message, last = shown
            if message["last"] >= last + EARLIEST * samples:
                return
            early += 1
            if early == 2:
                raise viewer.failure(message, f'a "last" of about {last + samples}', likely)

    @staticmethod
    async def _first_rate(server: FeedServer, number: int) -> Shown | None:
        async with server.viewer("Grace") as grace:
            await grace.subscribe("burst")
            first, second = {"burst": 2.0 * number + 1}, {"burst": 2.0 * number + 2}
            # Nothing else changes burst, so an interval that the rate starts could begin only with the second.
            await server.push(values=[first, *[{}] * (BETWEEN - 1), second])
            grace.client.after = "a message with values, and then the first rate"
            last = (await grace.next())["last"]
            await grace.client.send({"type": "rate", "per_second": SLOW})
            await grace.client.send("malformed")
            expect = '{"type": "error", ...} for the malformed message'
            message = await grace.client.next_object(expect=expect, likely=NO_ERROR)
            if isinstance(message, dict) and message.get("type") == "values":
                # The second value was taken before the rate.
                return None
            if not isinstance(message, dict) or message.get("type") != "error":
                raise grace.failure(message, expect, NO_ERROR)
            return grace, await grace.next(), last

    @staticmethod
    async def _next_two(linus: Viewer, number: int) -> Shown | None:
        last = linus.last or 0
        return linus, await linus.next(), last

    @staticmethod
    async def _subscribe_between(linus: Viewer, number: int) -> Shown | None:
        last = (await linus.next())["last"]
        seq = (await linus.subscribe("count", "m1"))["seq"]
        linus.client.after = f"the rate {HALF_A_SECOND}, values, and right after them another subscribe"
        message = await linus.next()
        # If the subscribe was late, the next message isn't too early in any case.
        return (linus, message, last) if seq < last + EARLIEST * FAST // HALF_A_SECOND else None
