"""Step 13, TODO 6: at most so many messages a second, for each viewer."""

from judge.conversation import pause
from judge.model import Failure, check
from judge.subject import Subject
from judge.viewers import Viewer, feed_server, shared_feed_server

SLOW = 2
"""Messages a second of a viewer with a rate."""
SAMPLES = 40
"""Samples in which such a viewer gets about four messages: two seconds with 20 samples each."""
AT_MOST = 6
AT_LEAST = 3
BURST = 6
"""Values of a burst, one in each sample."""
LATEST = 25
"""Samples after which the last value of a burst is late: about twice the promised time."""
TOO_MANY = (
    "The viewer gets more messages than its rate allows. After each message with values, wait for 1 / per_second "
    "before you send the next one, and merge the samples meanwhile."
)
TOO_FEW = (
    "The viewer gets fewer messages than its rate allows. When 1 / per_second has passed since the last message, send "
    "the merged values."
)
FOR_ALL = "A rate of one viewer changes what another one gets. Store the rate for each connection."
LEADING = (
    "The last value of a burst isn't sent, because nothing changes after it. If a value arrives too early for the "
    "viewer's rate, start a timer that sends the merged values when the interval ends."
)
NOT_NEW_RATE = "The second rate of a viewer has no effect. Each rate replaces the one before."
SOON = (
    "The last value of a burst arrives too late. Start the interval with the last message, and send the merged values "
    "when it ends."
)


class Rates:
    @check(6, "limits the messages of one viewer to its rate", pauses=True)
    async def test_rate(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Linus") as linus, server.viewer("Ada") as ada:
            await ada.subscribe("count", "m2")
            await linus.client.send({"type": "rate", "per_second": SLOW})
            await linus.subscribe("count", "m1", "m2", "m3")
            await pause(0)
            async with ada.reading(likely=FOR_ALL):
                count, others = await self._counted(linus, ada)
                after = f"Linus has the rate {SLOW}, and Ada has none"
                expect = f"about {2 * SLOW} messages with values in {SAMPLES} samples, which take 2 s"
                if not AT_LEAST <= count <= AT_MOST:
                    likely = TOO_MANY if count > AT_MOST else TOO_FEW
                    raise Failure(after=after, got=f"{count} messages for Linus", expect=expect, likely=likely)
                if others < SAMPLES // 2:
                    expect = f"about {SAMPLES} messages with values, one for each sample"
                    raise Failure(after=after, got=f"{others} messages for Ada", expect=expect, likely=FOR_ALL)
                # A higher rate replaces it.
                await linus.client.send({"type": "rate", "per_second": 20})
                count, _ = await self._counted(linus, ada)
                if count <= 2 * AT_MOST:
                    expect = f"about {SAMPLES} messages with values, one for each sample"
                    after = f"the rate {SLOW}, and then the rate 20"
                    raise Failure(after=after, got=f"{count} messages for Linus", expect=expect, likely=NOT_NEW_RATE)

    @staticmethod
    async def _counted(linus: Viewer, ada: Viewer) -> tuple[int, int]:
        """Return the numbers of messages that two viewers get for the same samples."""
        first = await linus.next()
        linus.received.clear()
        ada.received.clear()
        while (linus.last or 0) < first["last"] + SAMPLES:
            await linus.next()
        return len(linus.received), len(ada.received)

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
                    # Linus may get it half a second after Grace: then Ada has received that many samples more.
                    late = (ada.last or 0) - (grace.last or 0)
                    if late > LATEST:
                        got = f"the last value {late} samples after it was taken"
                        expect = f"the last value within {1 / SLOW + 0.1:g} s, {20 * (1 / SLOW + 0.1):g} samples"
                        raise Failure(after=linus.client.after, got=got, expect=expect, likely=SOON)
