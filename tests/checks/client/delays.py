"""Step 09, TODO 4: the client's delays before each attempt to connect."""

import asyncio

from judge.fake_server import FakeServer, fake_server
from judge.members import message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack, error
from judge.subject import Subject

from .sent import PINGS, accepted, key_in, key_of, keys_are, next_sent

SLOW = 1.0
"""The tolerance for a late attempt, in seconds."""
TRY = "the next try"
DELAY = (
    "delay n is random between half and the whole of min(cap, base * 2**n); n is 0 again when a message or "
    "an ack has come, and a handshake or a gap alone does not reset it"
)
RETRY = (
    'Your client ignores an error with "retry": true, or ends for it. Wait for the next delay, and send the message '
    "again on the same connection, with its key."
)
RETRY_DELAY = (
    "Your client sends the message again after another delay than the one before a try to connect. Use the same delay, "
    "with the same n."
)
OTHERS = "Your client sends messages again for which no error came. Send only the one with the key of the error."
GAP = {"type": "gap", "missed": 1}
ACCURACY = 0.001
"""The tolerance for the delay that a client passes to its event loop, in seconds."""


class Delays:
    @check(4, "waits longer after each failed attempt, with jitter")
    async def test_delays(self, subject: Subject) -> None:
        base, cap = 0.03, 0.24
        async with fake_server(subject) as server:
            await server.begin(base=base, cap=cap)
            attempts = [await server.next_attempt(likely="the client connects")]
            at_cap: list[float] = []
            for number in range(10):
                before = attempts[-1]
                # Refuse, drop, close, or accept and then drop: none of these resets the delay.
                if number == 3:
                    # Send events only on the fourth connection: after it, a delay with n = 0 is too short to be right.
                    await before.accept()
                    await before.send({"type": "members", "names": ["Ada"]}, {"type": "ping"}, GAP)
                    await server.does(
                        "item",
                        item=GAP,
                        likely="Your client doesn't deliver a gap as it arrived. Put the gap object into the inbox.",
                    )
                    before.drop()
                elif number == 2:
                    await before.accept()
                    await before.close(1013)
                elif number == 1:
                    before.abort_handshake()
                else:
                    before.refuse(503)
                ended = asyncio.get_running_loop().time()
                server.did = f"{number + 1} tries that ended without a message"
                every = "it tries again: after 5xx, a close, a loss, and when the server dies in the handshake"
                attempts.append(await server.next_attempt(likely=every))
                longest = min(cap, base * 2**number)
                wait = attempts[-1].at - ended
                asked = await self._waits(server, wait, longest, delays=(base / 2, cap))
                if longest == cap:
                    at_cap += asked
            different = {round(each, 4) for each in at_cap}
            if 0 < len(different) < 4:
                likely = "the delay is random between half and the whole, so that not all clients come back together"
                got = f"seven waits of {', '.join(f'{each} s' for each in sorted(different))}"
                raise Failure(after=server.did, got=got, expect="waits that differ", likely=likely)

    @staticmethod
    async def _waits(
        server: FakeServer,
        wait: float,
        longest: float,
        *,
        delays: tuple[float, float],
        what: str = TRY,
        slow: float = SLOW,
    ) -> list[float]:
        """Check the delay before an attempt.

        The delay that the client passes to its event loop is exact. The measured time is late on a busy machine, so it
        decides only if the client waits in another way.

        Args:
            server: the fake server that the client connects to.
            wait: the measured time from the end of the previous attempt to this one, in seconds.
            longest: the longest right delay before this attempt, in seconds.
            delays: the shortest and the longest of all delays, in seconds. A single timer in between is the delay.
            what: the event after the delay.
            slow: the tolerance for the measured time, in seconds.

        Returns:
            The right delays among those that the client passed to its event loop.

        Raises:
            Failure: the delay is too short or too long.
        """
        await server.do("waits")
        asked = (await server.next(expect="how long it waited", likely="it waits"))["seconds"]
        fitting = [each for each in asked if longest / 2 - ACCURACY <= each <= longest + ACCURACY]
        delay = [each for each in asked if delays[0] - ACCURACY <= each <= delays[1] + ACCURACY]
        # Allow 10 ms less: the client may subtract the time since the end, and it sees the end slightly later.
        least = longest / 2 - 0.01
        too_long = any(longest + ACCURACY < each <= wait + 0.01 and each >= 0.8 * wait for each in asked)
        right = least <= delay[0] < longest if len(delay) == 1 else least <= wait <= longest + slow and not too_long
        if not fitting and not right:
            likely = DELAY if what is TRY else RETRY_DELAY
            got = f"{what} after {delay[0] if len(delay) == 1 else wait:.3f} s"
            expect = f"a delay from {longest / 2:.3f} to {longest:.3f} s"
            raise Failure(after=server.did, got=got, expect=expect, likely=likely)
        return fitting

    @check(4, "resets the delay when a message or an ack has arrived")
    async def test_reset(self, subject: Subject) -> None:
        await asyncio.gather(*(self._begins_anew(subject, with_ack) for with_ack in (False, True)))

    async def _begins_anew(self, subject: Subject, with_ack: bool) -> None:
        base = 0.01
        async with fake_server(subject) as server:
            await server.begin(base=base, cap=30)
            for _ in range(7):
                (await server.next_attempt(likely="it tries again", seconds=server.patience + 3)).refuse(503)
            await server.do("waits")
            await server.next(expect="how long it waited", likely="it waits")
            attempt = await server.next_attempt(likely="it tries again", seconds=server.patience + 5)
            await attempt.accept()
            if with_ack:
                await server.do("send", text="hello")
                await attempt.send(ack(await key_of(server, attempt, "hello"), 1))
                await server.does("sent", text="hello", id=1, likely="send() gives the id")
            else:
                await attempt.send(message(1, "Grace", "hello"))
                await server.does(
                    "item",
                    item=message(1, "Grace", "hello"),
                    likely="Your client doesn't deliver a message. Put each message object into the inbox.",
                )
            ended = asyncio.get_running_loop().time()
            attempt.drop()
            what = "an ack" if with_ack else "a message"
            server.did = f"seven refused tries, and then {what} before the connection was lost"
            attempt = await server.next_attempt(
                likely="a message or an ack sets n to 0 again", seconds=server.patience + 3
            )
            # Without a reset, the delay would be longer than 0.6 s.
            await self._waits(server, attempt.at - ended, base, delays=(base / 2, base), slow=0.5)

    @check(4, "resends a message after an error with retry, on the same connection, after a delay")
    async def test_retry(self, subject: Subject) -> None:
        base, cap = 0.03, 0.24
        clock = asyncio.get_running_loop().time
        async with fake_server(subject) as server:
            await server.begin(base=base, cap=cap)
            attempt = await accepted(server)
            number = 0
            for text, errors in (("one", 5), ("two", 1)):
                await server.do("send", text=text)
                key = await key_of(server, attempt, text)
                for count in range(errors):
                    await server.do("waits")
                    await server.next(expect="how long it waited", likely="it waits")
                    start = clock()
                    await attempt.send(error(key, retry=True))
                    server.did = f"{count + 1} errors with retry for {text!r}"
                    keys_are(server, [await key_of(server, attempt, text, likely=RETRY)], [key])
                    longest = min(cap, base * 2**count)
                    wait = clock() - start
                    await self._waits(server, wait, longest, delays=(base / 2, cap), what="the message again")
                number += 1
                await attempt.send(ack(key, number))
                await server.does("sent", text=text, id=number, likely=RETRY)
            # Reject some of the unacknowledged messages, and call send() once more meanwhile.
            awaited: dict[str, str | None] = dict.fromkeys(("three", "four", "five", "six"))
            for text in list(awaited)[:3]:
                await server.do("send", text=text)
            await server.handled()
            server.did = "an error with retry for every other one of several messages"
            sent_now = [await next_sent(server, attempt), *await server.messages_so_far(attempt, likely=PINGS)]
            keys = {text: key_in(server, got, text) for got, text in zip(sent_now, list(awaited), strict=False)}
            refused = list(keys)[::2]
            await attempt.send(*(error(keys[text], retry=True) for text in refused))
            await server.do("send", text="six")
            for text in keys:
                if text in refused:
                    awaited[text] = keys[text]
                else:
                    del awaited[text]
            while awaited:
                got = await next_sent(server, attempt, likely=RETRY)
                text = got.get("text") if isinstance(got, dict) else None
                if text not in awaited:
                    expect = f"the messages {', '.join(awaited)} once each"
                    raise Failure(after=server.did, got=show(got), expect=expect, likely=OTHERS)
                key = key_in(server, got, text)
                keys_are(server, [key], [awaited.pop(text) or key])
                number += 1
                await attempt.send(ack(key, number))
                await server.does("sent", text=text, id=number, likely=RETRY)
