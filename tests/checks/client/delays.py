"""Step 09, TODO 4: the client's delays before each attempt to connect."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from judge.fake_server import DRIVER_ITSELF, ConnectionAttempt, FakeServer, fake_server
from judge.members import PING, joined, message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack, error
from judge.subject import Subject

from .sent import (
    CONNECTS,
    DUPLICATE,
    IN_ORDER,
    NEVER_ENDS,
    NO_ID,
    NO_ITEM,
    PINGS,
    accepted,
    ends,
    key_in,
    key_of,
    keys_are,
    next_sent,
    no_more_sent,
)

SLOW = 2.0
"""The tolerance for a late attempt, in seconds."""
COARSE = 0.02
"""Seconds between two readings of the clock on Windows before Python 3.13, 0.016, rounded up."""
ACCURACY = 0.001
"""The tolerance for the delay that a client passes to its event loop, in seconds."""
BASE, CAP = 0.02, 0.16
"""The arguments of most clients here, in seconds."""
ATTEMPTS = 10
"""The number of failed attempts of one client."""
FIRST = (
    "Your client waits for the back-off delay before its first attempt too. Connect first, and sleep after a "
    "connection or an attempt that has failed."
)
NO_DELAY = "Your client reconnects without a delay. Sleep for the back-off delay before each further attempt."
NOT_AFTER_1012 = (
    "Your client waits for another delay after a close with 1012 than after other ends. Sleep for the same back-off "
    "delay before each further attempt, whatever has ended the connection."
)
NOT_GROWING = (
    "Your delay doesn't grow with the number of attempts. Count them in self._attempt, add 1 after each delay, and "
    "multiply base by 2 ** self._attempt."
)
RESETS = (
    "Your client starts again with the shortest delay after this connection. Set self._attempt to 0 for a message and "
    "for an ack, and nowhere else."
)
HANDSHAKE_RESETS = (
    "Your delay is too short after an attempt whose handshake was accepted: your client starts again with the shortest "
    "one. Set self._attempt to 0 for a message and for an ack, and nowhere else."
)
NEVER_RESET = (
    "Your client doesn't start again with the shortest delay when {what} arrives. Set self._attempt to 0 for a message "
    "and for an ack."
)
TOO_EARLY = (
    "Your n is 1 before the first delay. Compute the delay from self._attempt first, and add 1 to it afterwards."
)
TOO_LATE = "Your n grows one attempt too late, so a delay comes twice. Add 1 to self._attempt after each delay."
ON_TOP = (
    "Your client adds the random part to the whole delay. Choose the delay between half and all of max_delay, with "
    "random.uniform(max_delay / 2, max_delay)."
)
FROM_ZERO = (
    "Your random delay can be shorter than half of max_delay. Use random.uniform(max_delay / 2, max_delay), which "
    "begins at the half."
)
NO_CAP = "Your delay grows beyond cap. Let max_delay be min(self.cap, self.base * 2**n)."
NOT_TO_CAP = (
    "Your delay stops growing before it reaches cap. Let max_delay be min(self.cap, self.base * 2**n), and limit n, if "
    "at all, to a large number such as 64."
)
NO_JITTER = (
    "Your delays aren't random, so all clients reconnect at the same time. Choose each with "
    "random.uniform(max_delay / 2, max_delay)."
)
OTHER_DELAY = (
    "Your delay isn't computed from min(cap, base * 2**n). Let max_delay be "
    "min(self.cap, self.base * 2**self._attempt)."
)
EVERY = (
    "Your client makes no further attempt after this one. Catch OSError and WebSocketException around connect(), and "
    "ConnectionClosed in the reader, and let the loop continue."
)
RETRY = (
    'Your client doesn\'t send the message again after an error with "retry": true. Remove its key from '
    "self._in_flight, and wake the writer, which sends it after the delay."
)
RETRY_CONNECTS = (
    'Your client ends its connection after an error with "retry": true. Keep the connection, and let the writer send '
    "the message again on it."
)
RETRY_DELAY = (
    "Your client sends the message again after another delay than the one before an attempt to connect. Use the same "
    "method for both, with the same n."
)
RETRY_NOT_COUNTED = (
    "Your client waits for the shortest delay again, that of n = 0, before it sends the message once more. "
    "Each delay counts as an attempt, also this one: add 1 to self._attempt after it, and don't reset it for an error."
)
RETRY_NOW = (
    'Your client sends the message again without a delay after an error with "retry": true. Let the writer sleep for '
    "the back-off delay before it sends."
)
OTHERS = (
    "Your client sends a message again that no error has named. Remove only the key of the error from the keys that "
    "this connection has sent."
)
BLOCKED = (
    "While your client waits for a retry delay, its reader waits too. If the reader itself sleeps, let the writer do "
    "that; if the writer sleeps inside async with self._changed, move the sleep out of it: the reader needs that lock."
)
NOT_COUNTED = (
    "Your client doesn't count a message that's sent again as an attempt. Let both use the same method, which adds 1 "
    "to self._attempt."
)
CANCELED = (
    "Your client sends a message again whose send() was canceled. Send only keys that are still in "
    "self._unacknowledged, also after a delay."
)
GAP = {"type": "gap", "missed": 1}
KEEP: dict[str, tuple[dict[str, Any], ...]] = {
    "an accepted handshake": (),
    "the list of members": ({"type": "members", "names": ["Ada"]},),
    "a ping": (PING,),
    "a gap": (GAP,),
    "the notice joined": (joined("Grace"),),
    "a final error with an unknown key": (error("unknown", retry=False),),
}
"""What a connection delivers without a reset of the delay."""


@dataclass(frozen=True)
class Delay:
    """A delay of a client.

    Args:
        seconds: its length.
        longest: the longest right delay, in seconds.
        measured: whether the judge measured it, because the client passed none to its event loop.
    """

    seconds: float
    longest: float
    measured: bool

    @property
    def is_right(self) -> bool:
        """Whether it's between half and all of the longest right delay."""
        # Allow 10 ms less: the client may subtract the time since the end, and it sees the end slightly later.
        early, late = (COARSE, SLOW) if self.measured else (ACCURACY, ACCURACY)
        return self.longest / 2 - early <= self.seconds <= self.longest + late


async def delay(
    server: FakeServer, wait: float, longest: float, *, client: int = 0, least: float = BASE / 8, most: float = 8 * CAP
) -> Delay:
    """Return the delay of a client before its last attempt.

    The delay that the client passes to its event loop is exact. The measured time is late on a busy machine, so it
    decides only if the client waits in another way.

    Args:
        server: the fake server that the client connects to.
        wait: the measured time from the end of the previous attempt to this one, in seconds.
        longest: the longest right delay, in seconds.
        client: the client's number.
        least: timers that are shorter aren't delays, in seconds.
        most: timers that are longer aren't delays, in seconds.
    """
    asked = (await server.ask("waits", "waits", of=client))["seconds"]
    found = [each for each in asked if least <= each <= most and each <= wait + 0.02]
    if right := [each for each in found if longest / 2 - ACCURACY <= each <= longest + ACCURACY]:
        return Delay(right[-1], longest, False)
    return Delay(max(found), longest, False) if found else Delay(wait, longest, True)


def cause(delays: Sequence[Delay]) -> str:
    """Return the likely cause of a client's delays, of which at least one is wrong."""
    wrong = next(each for each in delays if not each.is_right)
    base, cap = delays[0].longest, delays[-1].longest
    at_cap = [each.seconds for each in delays if each.longest == cap]
    if max(each.seconds for each in delays) < base / 2:
        return NO_DELAY
    if len(delays) > 3 and max(each.seconds for each in delays) <= base + ACCURACY:
        return NOT_GROWING
    if wrong.seconds > wrong.longest:
        if max(at_cap) > cap + ACCURACY:
            return NO_CAP if max(at_cap) > 2.1 * cap else ON_TOP
        return TOO_EARLY if wrong is delays[0] else OTHER_DELAY
    earlier = [delays[0].longest, *(each.longest for each in delays)]
    shifted = [Delay(each.seconds, one, each.measured) for each, one in zip(delays, earlier, strict=False)]
    if len(delays) > 3 and all(each.is_right for each in shifted):
        return TOO_LATE
    if [each.is_right for each in delays[:6]] == [True] * 4 + [False, True]:
        return NOT_AFTER_1012
    after_handshakes = delays[2:4]
    if all(each.is_right for each in delays[:2]) and all(each.seconds <= base + ACCURACY for each in after_handshakes):
        return HANDSHAKE_RESETS
    if any(each.seconds < each.longest / 4 for each in delays):
        at_most = [each.seconds for each in delays if each.longest > 4 * base]
        return RESETS if at_most and max(at_most[1:], default=0) <= 2 * base else FROM_ZERO
    return OTHER_DELAY


async def all_done(*situations: Coroutine[Any, Any, None]) -> None:
    """Run situations side by side, and raise the failure of the first in order: it explains the others.

    Raises:
        Failure: one of them fails.
    """
    for result in await asyncio.gather(*situations, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


class Delays:
    @check(4, "connects immediately, and waits longer after each failed attempt, with jitter")
    async def test_delays(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(99, base=60, cap=60)
            server.did = "the start of a client with base=60"
            await server.next_attempt(99, likely=FIRST)
            await all_done(
                self._grows(server),
                *(self._keeps(server, *each) for each in enumerate(KEEP, 1)),
                self._reaches_cap(server, len(KEEP) + 1),
            )

    async def _grows(self, server: FakeServer) -> None:
        clock = asyncio.get_running_loop().time
        await server.begin(base=BASE, cap=CAP)
        attempt = await server.next_attempt(likely=CONNECTS)
        delays = []
        ways = {
            1: "the end of the connection in the handshake",
            2: "an accepted handshake and a close with 1013",
            3: "a lost connection",
            4: "an accepted handshake and a close with 1012",
        }
        for number in range(ATTEMPTS):
            # Refuse, abort, close, or accept and then drop: none of these resets the delay.
            if number in (2, 3, 4):
                await attempt.accept()
            # Before the end: if this process is late, the client's delay seems longer, and never too short.
            ended = clock()
            if number == 3:
                attempt.drop()
            elif number in (2, 4):
                await attempt.close(1013 if number == 2 else 1012)
            elif number == 1:
                attempt.abort_handshake()
            else:
                attempt.refuse(503)
            way = ways.get(number, "HTTP 503")
            server.did = f"{number + 1} attempts that ended without a message, the last one with {way}"
            attempt = await server.next_attempt(likely=EVERY)
            delays.append(await delay(server, attempt.at - ended, min(CAP, BASE * 2**number)))
            if delays[-1].seconds > 3 * CAP and not delays[-1].measured:
                break
        self._judge(server, delays)

    @staticmethod
    def _judge(server: FakeServer, delays: list[Delay]) -> None:
        at_cap = sorted(each.seconds for each in delays if each.longest == CAP and not each.measured)
        shown = ", ".join(f"{each.seconds:.3f}" for each in delays)
        which = " (the third to the fifth after an accepted handshake)" if len(delays) > 4 else ""
        server.did = f"{len(delays)} attempts that ended without a message{which}; base={BASE} and cap={CAP}"
        longest = ", ".join(f"{each.longest:.3f}" for each in delays[:4])
        expect = f"each at least half of, and at most: {longest}, and then {CAP:.3f} s"
        likely = ""
        if any(not each.is_right for each in delays):
            likely = cause(delays)
        elif len(at_cap) > 3 and len({round(each, 4) for each in at_cap}) < 4:
            likely, expect = NO_JITTER, "random delays: with the same n, each is another one"
        if likely:
            raise Failure(after=server.did, got=f"delays of {shown} s", expect=expect, likely=likely)

    @staticmethod
    async def _reaches_cap(server: FakeServer, client: int) -> None:
        """Check that the delay grows up to a cap that's a hundred times as long as base."""
        base, cap, failed = 0.003, 0.3, 8
        await server.begin(client, base=base, cap=cap)
        attempt = await server.next_attempt(client, likely=EVERY)
        for _ in range(failed):
            ended = asyncio.get_running_loop().time()
            attempt.refuse(503)
            attempt = await server.next_attempt(client, likely=EVERY)
        got = await delay(server, attempt.at - ended, cap, client=client, least=base / 8)
        if not got.is_right:
            raise Failure(
                after=f"{failed} failed attempts; base={base} and cap={cap}",
                got=f"a delay of {got.seconds:.3f} s",
                expect=f"a delay from {cap / 2:.3f} to {cap:.3f} s",
                likely=NOT_TO_CAP if got.seconds < cap / 2 else OTHER_DELAY,
            )

    async def _keeps(self, server: FakeServer, client: int, what: str) -> None:
        """Check that a connection which delivers this doesn't reset the delay."""
        base, failed = 0.01, 4
        await server.begin(client, base=base, cap=30)
        for _ in range(failed):
            (await server.next_attempt(client, likely=EVERY)).refuse(503)
        attempt = await accepted(server, client)
        await server.ask("waits", "waits", of=client)
        await attempt.send(*KEEP[what])
        if what == "a gap":
            await server.does("item", client, item=GAP, likely=NO_ITEM)
        await server.messages_before_pong(attempt, likely=PINGS)
        ended = asyncio.get_running_loop().time()
        attempt.drop()
        attempt = await server.next_attempt(client, likely=CONNECTS)
        longest = base * 2**failed
        got = await delay(server, attempt.at - ended, longest, client=client, least=base / 8)
        if not got.is_right:
            raise Failure(
                after=f"{failed} failed attempts, and a lost connection that had only {what}; base={base}",
                got=f"a delay of {got.seconds:.3f} s",
                expect=f"a delay from {longest / 2:.3f} to {longest:.3f} s, with n = {failed}",
                likely=RESETS if got.seconds < longest / 2 else OTHER_DELAY,
            )

    @check(4, "resets the delay when a message or an ack has arrived")
    async def test_reset(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await asyncio.gather(*(self._resets(server, what) for what in (0, 1)))

    async def _resets(self, server: FakeServer, client: int) -> None:
        base, failed = 0.01, 6
        what = ("a message", "an ack")[client]
        await server.begin(client, base=base, cap=30)
        for _ in range(failed):
            (await server.next_attempt(client, likely=EVERY)).refuse(503)
        attempt = await accepted(server, client)
        await server.ask("waits", "waits", of=client)
        if client:
            await server.do("send", client, text="hello")
            await attempt.send(ack(await key_of(server, attempt, "hello"), 1))
            await server.does("sent", client, text="hello", id=1, likely=NO_ID)
        else:
            await attempt.send(message(1, "Grace", "hello"))
            await server.does("item", client, item=message(1, "Grace", "hello"), likely=NO_ITEM)
        did = f"{failed} failed attempts, and a connection that was lost after {what}; base={base}"
        for number in range(3):
            ended = asyncio.get_running_loop().time()
            if number:
                attempt.refuse(503)
            else:
                attempt.drop()
            attempt = await server.next_attempt(client, likely=CONNECTS)
            longest = base * 2**number
            got = await delay(server, attempt.at - ended, longest, client=client, least=base / 8)
            # Without a reset, a delay would be longer than 0.3 s.
            if not got.is_right and not (got.measured and got.seconds < 0.3):
                raise Failure(
                    after=did,
                    got=f"a delay of {got.seconds:.3f} s",
                    expect=f"a delay from {longest / 2:.3f} to {longest:.3f} s, with n = {number}",
                    likely=NEVER_RESET.format(what=what) if got.seconds > 5 * longest else OTHER_DELAY,
                )
            did = f"{did}, and then {number + 1} with HTTP 503"

    @check(4, "resends a message after an error with retry, on the same connection, after a delay")
    async def test_retry(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            situations = (self._retries, self._rejects_some, self._works_meanwhile, self._loses_meanwhile)
            await all_done(*(situation(server, client) for client, situation in enumerate(situations)))

    async def _retries(self, server: FakeServer, client: int) -> None:
        """Let the delay grow with each error, and with the next attempts to connect."""
        clock = asyncio.get_running_loop().time
        await server.begin(client, base=BASE, cap=CAP)
        attempt = await accepted(server, client)
        for number, (text, errors) in enumerate((("one", 5), ("two", 1), ("three", 2)), 1):
            await server.do("send", client, text=text)
            key = await key_of(server, attempt, text)
            for count in range(errors):
                await server.ask("waits", "waits", of=client)
                start = clock()
                await attempt.send(error(key, retry=True))
                errors_so_far = "1 error" if count == 0 else f"{count + 1} errors"
                did = f"{errors_so_far} with retry for {text!r}, on a client with base={BASE} and cap={CAP}"
                server.did = did
                await self._again(server, attempt, text, key)
                longest = min(CAP, BASE * 2**count)
                got = await delay(server, clock() - start, longest)
                if not got.is_right:
                    raise Failure(
                        after=did,
                        got=f"the message again after {got.seconds:.3f} s",
                        expect=f"it after {longest / 2:.3f} to {longest:.3f} s, with n = {count}",
                        likely=RETRY_NOW
                        if got.measured and got.seconds < longest / 2
                        else RETRY_NOT_COUNTED
                        if count and got.seconds <= BASE + ACCURACY
                        else RETRY_DELAY,
                    )
            if text == "three":
                start = clock()
                attempt.drop()
                attempt = await accepted(server, client)
                got = await delay(server, attempt.at - start, BASE * 4)
                if not got.is_right:
                    raise Failure(
                        after=f"two errors with retry, which are attempts 0 and 1, and a lost connection; base={BASE}",
                        got=f"an attempt to connect after {got.seconds:.3f} s",
                        expect=f"one after {BASE * 2:.3f} to {BASE * 4:.3f} s, with n = 2",
                        likely=NOT_COUNTED,
                    )
                await key_of(server, attempt, text, key=key)
            await attempt.send(ack(key, number))
            await server.does("sent", client, text=text, id=number, likely=NO_ID)

    @staticmethod
    async def _again(server: FakeServer, attempt: ConnectionAttempt, text: str, key: str) -> None:
        """Check that a message is sent again on the same connection."""
        try:
            got = await next_sent(server, attempt, likely=RETRY, expect=f"the message {text!r} again")
        except Failure as failure:
            if "ended the connection" in failure.got:
                failure.likely = RETRY_CONNECTS
            raise
        keys_are(server, [key_in(server, got, text, likely=RETRY, client=attempt.client)], [key])

    async def _rejects_some(self, server: FakeServer, client: int) -> None:
        """Reject some of the unacknowledged messages, and call send() once more meanwhile."""
        await server.begin(client, base=BASE, cap=CAP)
        attempt = await accepted(server, client)
        awaited: dict[str, str | None] = dict.fromkeys(("three", "four", "five", "six"))
        for text in list(awaited)[:3]:
            await server.do("send", client, text=text)
        await server.handled()
        sent_now = [await next_sent(server, attempt), *await server.messages_so_far(attempt, likely=PINGS)]
        keys = {text: key_in(server, got, text, client=client) for got, text in zip(sent_now, awaited, strict=False)}
        refused = list(keys)[::2]
        await attempt.send(*(error(keys[text], retry=True) for text in refused))
        await server.do("send", client, text="six")
        for text in keys:
            if text in refused:
                awaited[text] = keys[text]
            else:
                del awaited[text]
        number = 0
        while awaited:
            server.did = f"an error with retry for {' and '.join(refused)}, and meanwhile a call of send()"
            got = await next_sent(server, attempt, likely=RETRY, expect=f"the messages {', '.join(awaited)}, once each")
            text = got.get("text") if isinstance(got, dict) else None
            if text not in awaited:
                expect = f"the messages {', '.join(awaited)} once each"
                raise Failure(after=server.did, got=show(got), expect=expect, likely=OTHERS)
            key = key_in(server, got, text, client=client)
            keys_are(server, [key], [awaited.pop(text) or key])
            number += 1
            await attempt.send(ack(key, number))
            await server.does("sent", client, text=text, id=number, likely=NO_ID)
        await no_more_sent(server, attempt, likely=DUPLICATE)

    async def _works_meanwhile(self, server: FakeServer, client: int) -> None:
        """Use the connection during a retry delay, and end the client in it."""
        did = "an error with retry, and during its delay a message, the ack of another message, and a ping; base=3"
        await server.begin(client, base=3)
        attempt = await accepted(server, client)
        await server.do("send", client, text="one")
        keys = [await key_of(server, attempt, "one")]
        await server.do("send", client, text="two")
        keys += [await key_of(server, attempt, "two")]
        start = asyncio.get_running_loop().time()
        await attempt.send(error(keys[0], retry=True))
        # Let the writer begin its delay of at least 1.5 s. A timer in the client's process is shorter.
        await server.handled()
        await server.do("timer", DRIVER_ITSELF, of=client, seconds=0.7)
        await attempt.send(message(1, "Grace", "hello"), ack(keys[1], 2), PING)
        server.did = did
        item = {"event": "item", "item": message(1, "Grace", "hello")}
        await server.all_of(item, {"event": "sent", "text": "two", "id": 2}, client=client, likely=BLOCKED)
        got = await server.next_message(attempt, likely=BLOCKED, expect=show({"type": "pong"}))
        if got != {"type": "pong"}:
            likely = BLOCKED if isinstance(got, dict) and got.get("key") == keys[0] else OTHERS
            if likely == BLOCKED and asyncio.get_running_loop().time() - start < 1:
                likely = RETRY_NOW
            raise Failure(after=did, got=show(got), expect="a pong before the message again", likely=likely)
        await server.does("timer", client, likely=BLOCKED)
        await server.do("send", client, text="three")
        await server.handled()
        server.did = "the end of async with during a retry delay, with two calls of send() that wait"
        await ends(server, client, sends=2, likely=NEVER_ENDS)

    async def _loses_meanwhile(self, server: FakeServer, client: int) -> None:
        """Lose the connection during a retry delay, and cancel a send() in another one."""
        base = 0.6
        await server.begin(client, base=base, cap=base)
        attempt = await accepted(server, client)
        for text in ("one", "two"):
            await server.do("send", client, text=text)
        key, second = [await key_of(server, attempt, text) for text in ("one", "two")]
        await attempt.send(error(key, retry=True))
        await server.messages_before_pong(attempt, likely=BLOCKED)
        attempt.drop()
        attempt = await accepted(server, client)
        server.did = "an error with retry for the first of two messages, and a lost connection during its delay"
        await key_of(server, attempt, "one", key=key, wrong=IN_ORDER)
        await key_of(server, attempt, "two", key=second)
        await attempt.send(ack(key, 1))
        start = asyncio.get_running_loop().time()
        await attempt.send(error(second, retry=True))
        await server.does("sent", client, text="one", id=1, likely=NO_ID)
        await server.do("cancel", client, text="two")
        await server.does("canceled", client, text="two", likely=NO_ID)
        await server.do("send", client, text="three")
        server.did = "an error with retry for a message whose send() was canceled during the delay, and a new message"
        if asyncio.get_running_loop().time() - start > 0.4 * base:
            # The machine is busy: the client may have sent it before it was canceled.
            return
        await attempt.send(ack(await key_of(server, attempt, "three", wrong=CANCELED), 2))
        await server.does("sent", client, text="three", id=2, likely=NO_ID)
