"""Step 13, TODO 5: at most two unseen messages, and the newest values after them."""

from statistics import median

import psutil
from judge.conversation import pause
from judge.handshakes import client
from judge.model import Failure, check
from judge.subject import Subject
from judge.viewers import COUNTED, JOINED, NO_SNAPSHOT, FeedServer, Viewer, feed_server, shared_feed_server
from workshop.network import Network

from .producer import SLOWEST
from .snapshots import unsubscribe

WINDOW = 2
"""Messages with values that may be unseen."""
MISSED = 500
"""Samples that a viewer with a closed window misses."""
TOPICS = 1000
"""Topics of the server in that check, in addition to the usual ones."""
MEMORY = 4 * 1024 * 1024
"""The limit for the growth of the server's memory, in bytes."""
LINK = 100_000
"""The bytes per second of a slow network."""
LINK_TOPICS = 350
"""Topics on the slow network. A message with all of them has nearly 5 KB."""
LINK_SAMPLES = 60
"""Samples a second there, three times as many as the network can transfer."""
OLDEST = 0.5
"""The limit for the age of the received values, in seconds."""

NO_WINDOW = (
    "A third message with values is sent although two are unseen. Store the last number of each message with values "
    "until its seen arrives, and send none while two are stored."
)
ONE_ONLY = (
    "Only one message with values is sent without a seen. Two may be unseen: send the second one before the first is "
    "seen."
)
SEEN_CLEARS = (
    "A seen for the first of two unseen messages makes room for two. Forget only the number of that message, and keep "
    "the later one until its own seen."
)
OTHER_SEEN = (
    "A seen for a message that was seen before opens the window again. Store the last number of each unseen message, "
    "and ignore a seen for any other number."
)
CUMULATIVE = (
    "A seen for a later message leaves an earlier one unseen. Forget the number of each message up to this one."
)
SECOND_ONLY = (
    "A seen for the first of two unseen messages doesn't open the window. One seen makes room for one message: send "
    "the merged values then, don't wait for the second seen."
)
NOT_ON_SEEN = (
    "A seen doesn't send the merged values. When a seen arrives, send what was merged meanwhile, and don't wait for "
    "the next sample."
)
QUEUED = (
    "Samples are queued while two messages are unseen, and a seen brings only the first of them. Merge them into one "
    "dict with the newest value of each topic, and send it as one message."
)
OWN_SEEN = "The unseen messages of one viewer close the window of another one. Count them for each connection."
STALLS = (
    "The other viewers wait for one that reads nothing. Let only a writer task of its own wait for its connection, as "
    "in step 07."
)
GROWS = (
    "The memory grows while a viewer reads nothing: its samples are queued. Keep only the newest value of each topic "
    "for it."
)
TOO_OLD = (
    "The values are too old when they arrive: earlier messages wait in the buffers of the network. Send at most two "
    "messages ahead of the last seen, and merge the rest."
)
OLD_SEEN = (
    "A seen for values from before the snapshot opens the window. Remember the last number of each unseen message, "
    "forget them all with a snapshot, and ignore a seen for any other number."
)
CLOSED_WINDOW = (
    "After a snapshot, the viewer gets no values until it sends seen for earlier ones. With a snapshot, it starts "
    "again: expect no seen for earlier messages."
)
UNSUBSCRIBE_DROPS = (
    "An unsubscribe drops merged values of other topics. Remove only the topics of the request from what is merged."
)
MERGED_STAYS = (
    "The viewer gets a value of a topic after unsubscribed: it was merged before. Remove the topics of the "
    "request from what is merged, too."
)
RANGE_MOVED = (
    "An unsubscribe moves the start of the next range, so samples are missing. It removes merged values only: the next "
    "range starts after the last message with values, even if nothing is merged then."
)
LARGE_TOPICS = 200
PADDING = 1000
"""Characters in the name of each topic in the check with messages that are larger than all buffers: 200 KB."""
ON_SEEN = 3
"""Rounds of which one must send the merged values before the next change."""


class Flow:
    @check(5, "sends at most two messages that aren't seen")
    async def test_window(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada, server.viewer("Grace") as grace:
            await ada.subscribe("count", "m1", "m2", "m3")
            await grace.subscribe("count")
            unseen = [await ada.next(seen=False), await ada.next(seen=False, likely=ONE_ONLY)]
            for round_number in range(3):
                await grace.until((grace.last or 0) + 8, likely=OWN_SEEN)
                likely, after = NO_WINDOW, "two messages with values are unseen"
                if round_number:
                    likely, after = SEEN_CLEARS, "a seen for the first of two unseen messages, and one message after it"
                await ada.is_silent(likely=likely, after=after)
                ada.client.after = "two messages with values are unseen, and samples were merged"
                oldest = unseen.pop(0)
                await ada.see(oldest)
                unseen.append(await ada.next(seen=False, likely=SECOND_ONLY))
                if unseen[-1]["last"] < (grace.last or 0):
                    raise ada.failure(unseen[-1], f"one message with all samples up to {grace.last}", QUEUED)
            await ada.see(oldest)
            await grace.until((grace.last or 0) + 8, likely=OWN_SEEN)
            after = "two messages with values are unseen, and an older one is seen a second time"
            await ada.is_silent(likely=OTHER_SEEN, after=after)
            # A seen answers the messages before it, too.
            await ada.see(unseen.pop())
            ada.client.after = "a seen for the second of two unseen messages, which answers the first one, too"
            for _ in range(2):
                await ada.next(seen=False, likely=CUMULATIVE)

    @check(5, "sends the merged values right after a seen")
    async def test_on_seen(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada, server.viewer("Grace") as grace:
            # m4 changes in every tenth sample.
            await ada.subscribe("m4")
            await grace.subscribe("count")
            unseen = [await ada.next(seen=False), await ada.next(seen=False)]
            # A busy machine may be late once.
            for _ in range(ON_SEEN):
                await grace.until(unseen[-1]["last"] + 11)
                ada.client.after = "two messages with values are unseen, and m4 has changed since"
                await ada.see(unseen.pop(0))
                unseen.append(await ada.next(seen=False, likely=NOT_ON_SEEN))
                if unseen[-1]["last"] < unseen[-2]["last"] + 20:
                    return
            raise ada.failure(unseen[-1], f"values with a last of about {unseen[-2]['last'] + 12}", NOT_ON_SEEN)

    @check(5, "serves others, and changes no message, while a viewer reads nothing", pauses=True)
    async def test_suspended(self, subject: Subject) -> None:
        async with (
            feed_server(subject, TOPICS=str(LARGE_TOPICS), PADDING=str(PADDING)) as server,
            server.viewer("Ada") as ada,
            server.viewer("Linus", tiny=True) as linus,
        ):
            topics = ["count", *(f"t{number}{'-' * PADDING}" for number in range(LARGE_TOPICS))]
            await ada.subscribe("count")
            await ada.until((ada.last or 0) + 2)
            linus.client.stop_reading()
            linus.client.patience *= 2
            await linus.join(*topics)
            await pause(0)
            # The snapshot and the first values wait for the network now, and the second ones in a queue.
            ada.client.after = "Linus reads nothing, and his messages are larger than all buffers"
            await ada.until((ada.last or 0) + 20, likely=STALLS)
            starts = (await server.state())["starts"][-15:]
            between = median(later - earlier for earlier, later in zip(starts, starts[1:], strict=False))
            if between > SLOWEST / 20:
                got, expect = (
                    f"one sample every {between * 1000:.0f} ms",
                    "one sample every 50 ms",
                )
                raise Failure(after=ada.client.after, got=got, expect=expect, likely=STALLS)
            linus.client.read_again()
            linus.client.after = "Linus has read nothing for 20 samples, and then he reads again"
            await linus.snapshot(*topics)
            for _ in range(2):
                await linus.next(seen=False, likely=STALLS)

    @check(5, "sends the newest values of 500 samples in one message", pauses=True)
    async def test_merged(self, subject: Subject) -> None:
        async with (
            feed_server(subject, SAMPLES_PER_SECOND="200", TOPICS=str(TOPICS)) as server,
            server.viewer("Ada") as ada,
            server.viewer("Linus", tiny=True) as linus,
        ):
            topics = [f"t{number}" for number in range(TOPICS)]
            linus.client.after = f"{TOPICS} topics, 200 samples a second"
            await linus.subscribe("count", "m1", *topics)
            await ada.subscribe("count", "m1", "m2")
            unseen = [await linus.next(seen=False), await linus.next(seen=False)]
            linus.client.stop_reading()
            process = psutil.Process(server.subject.server.pid)
            # After some samples, so the memory of the first ones isn't counted.
            await ada.until((ada.last or 0) + 20, likely=STALLS)
            before = process.memory_info().rss
            await self._counted_by(server, ada, MISSED)
            grown = process.memory_info().rss - before
            after = f"Linus has read nothing for {MISSED} samples"
            if grown > MEMORY:
                raise Failure(
                    after=after,
                    got=f"{grown / 1024 / 1024:.1f} MiB more memory",
                    expect=f"less than {MEMORY // 1024 // 1024} MiB more",
                    likely=GROWS,
                )
            linus.client.read_again()
            linus.client.after = f"two messages with values are unseen, and {MISSED} samples were merged"
            await linus.is_silent(likely=NO_WINDOW, after=f"{after}, and two messages with values are unseen")
            await linus.see(unseen[0])
            merged = await linus.next(seen=False, likely=SECOND_ONLY)
            if merged["last"] - merged["first"] < MISSED - 20:
                raise linus.failure(merged, f"one message for about {MISSED} samples", QUEUED)
            await linus.is_silent(likely=SEEN_CLEARS, after="one seen, and one message with all merged values")

    @staticmethod
    async def _counted_by(server: FeedServer, viewer: Viewer, samples: int) -> None:
        """Read values as a viewer until this number of further samples has been taken."""
        target = (await server.state())["count"] + samples
        count = 0
        while count < target:
            for _ in range(20):
                await viewer.next(likely=STALLS)
            state = await server.state()
            count = state["count"]

    @check(5, "merges for each viewer by itself")
    async def test_each(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada, server.viewer("Grace") as grace, server.viewer("Linus") as linus:
            topics = ("count", "m0", "m5", "m8")
            for viewer in (ada, grace, linus):
                await viewer.subscribe(*topics)
            ada_unseen = [await ada.next(seen=False), await ada.next(seen=False)]
            await linus.until((linus.last or 0) + 6)
            grace_unseen = [await grace.next(seen=False), await grace.next(seen=False)]
            await linus.until((linus.last or 0) + 11)
            # Their merged values differ, and all of them are complete.
            for viewer, unseen in ((ada, ada_unseen), (grace, grace_unseen)):
                viewer.client.after = "two messages with values are unseen, and more than ten samples are merged"
                await viewer.see(unseen[0])
                await viewer.next(likely=NOT_ON_SEEN)
                await linus.next()

    @check(5, "keeps values young on a network with 100 KB/s", pauses=True)
    async def test_slow_link(self, subject: Subject) -> None:
        settings = {"SAMPLES_PER_SECOND": str(LINK_SAMPLES), "TOPICS": str(LINK_TOPICS)}
        async with feed_server(subject, **settings) as server, server.viewer("Ada") as ada:
            await ada.subscribe("count")
            async with Network(server.subject.server, bytes_per_second=LINK) as network:
                age = await self._age(server, network, ada)
                if age > OLDEST * LINK_SAMPLES:
                    # Once more: the machine may have been busy.
                    age = min(age, await self._age(server, network, ada))
        if age > OLDEST * LINK_SAMPLES:
            raise Failure(
                sent="seen for each message with values",
                after=f"a network with {LINK // 1000} KB/s, {LINK_SAMPLES} samples a second, and messages of 5 KB",
                got=f"values that are {age:.0f} samples old on average, {age / LINK_SAMPLES:.1f} s",
                expect=f"values that are at most {OLDEST} s old",
                likely=TOO_OLD,
            )

    @staticmethod
    async def _age(server: FeedServer, network: Network, ada: Viewer) -> float:
        """Return the median age of the values that a viewer receives through the network, in samples."""
        topics = [f"t{number}" for number in range(LINK_TOPICS)]
        async with client(network.ws("/ws"), server.subject.patience, who="Linus") as connection:
            linus = Viewer(connection, server.samples)
            await linus.subscribe(*topics)
            start, ages = ada.last or 0, []
            async with ada.reading(likely=STALLS):
                await pause(0)
                while (ada.last or 0) < start + 3 * LINK_SAMPLES:
                    await linus.next()
                    # Compare with the newest sample that another viewer has by now.
                    ages.append((ada.last or 0) - (linus.last or 0))
        # A busy machine delays some of them.
        return median(ages)

    @check(5, "drops what was merged when a viewer subscribes again")
    async def test_again(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada, server.viewer("Grace") as grace:
            await ada.subscribe("count", "m4")
            await grace.subscribe("count")
            old = [await ada.next(seen=False), await ada.next(seen=False)]
            await grace.until((grace.last or 0) + 12)
            ada.client.after = "two messages with values are unseen, and more than ten samples are merged"
            await ada.subscribe("m6", likely=NO_SNAPSHOT)
            for _ in range(2):
                await ada.next(seen=False, likely=CLOSED_WINDOW)
            for message in old:
                await ada.see(message)
            await grace.until((grace.last or 0) + 6)
            await ada.is_silent(
                likely=OLD_SEEN, after="a snapshot, two unseen messages after it, and a seen for the values before it"
            )

    @check(5, "forgets the merged values of a topic after unsubscribe")
    async def test_unsubscribe_merged(self, subject: Subject) -> None:
        server = await shared_feed_server(subject)
        async with server.viewer("Ada") as ada, server.viewer("Grace") as grace:
            await ada.subscribe("count", *COUNTED[1:])
            await grace.subscribe("count")
            unseen = [await ada.next(seen=False), await ada.next(seen=False)]
            await grace.until((grace.last or 0) + 12)
            ada.client.after = "two messages with values are unseen, and more than ten samples are merged"
            await unsubscribe(ada, ["m3", "m8"])
            for message in unseen:
                await ada.see(message)
            try:
                await ada.next()
            except Failure as failure:
                is_foreign = failure.expect in ("no value of m3", "no value of m8")
                failure.likely = MERGED_STAYS if is_foreign else UNSUBSCRIBE_DROPS
                raise
            async with server.viewer("Linus") as linus:
                await self._keeps_its_range(linus, grace)

    @staticmethod
    async def _keeps_its_range(linus: Viewer, grace: Viewer) -> None:
        """Check the range after an unsubscribe from the only topic that's merged."""
        await linus.subscribe("m3", "m4")
        while "m3" not in (await linus.next())["values"]:
            pass
        # m4 follows m3 in the next sample, and the next m3 is nine samples later.
        unseen = [await linus.next(seen=False), await linus.next(seen=False)]
        await grace.until(unseen[-1]["last"] + 4)
        await unsubscribe(linus, ["m4"])
        linus.client.after = "two messages with values were unseen, and of the samples since, only m4 was merged"
        await linus.see(unseen[-1])
        try:
            await linus.next()
        except Failure as failure:
            if failure.likely == JOINED:
                failure.likely = RANGE_MOVED
            raise
