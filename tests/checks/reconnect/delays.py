"""Step 08, TODO 5: the client's delays before each attempt to connect."""

import asyncio

from judge.members import message
from judge.model import Failure, check
from judge.rejoining import ack
from judge.stage import Stage, Visit, stage
from judge.subject import Subject

from .sent import key_of

SLOW = 1.0
"""Seconds that a try may come later than the client meant it."""
ACCURACY = 0.001
"""Seconds by which what a client asks its loop for may differ from the delay that it means."""


class Delays:
    @check(5, "waits longer and longer, at random, until something has come")
    async def test_delays(self, subject: Subject) -> None:
        base, cap = 0.03, 0.24
        async with stage(subject) as play:
            await play.begin(base=base, cap=cap)
            visits = [await play.visit(likely="the client connects")]
            at_cap: list[float] = []
            for number in range(10):
                before = visits[-1]
                # Refused, lost, closed, accepted and then lost: none of these is a reason to begin anew.
                if number == 1:
                    await before.accept()
                    await before.send({"type": "members", "names": ["Ada"]}, {"type": "ping"})
                    before.drop()
                elif number == 2:
                    await before.accept()
                    await before.close(1013)
                elif number == 3:
                    before.vanish()
                else:
                    before.refuse(503)
                ended = asyncio.get_running_loop().time()
                play.did = f"{number + 1} tries that ended without a message"
                every = "it tries again: after 5xx, a close, a loss, and when the server dies in the handshake"
                visits.append(await play.visit(likely=every))
                longest = min(cap, base * 2**number)
                asked = await self._waits(play, ended, visits[-1], longest, delays=(base / 2, cap))
                if longest == cap:
                    at_cap += asked
            different = {round(each, 4) for each in at_cap}
            if 0 < len(different) < 4:
                likely = "the delay is random between half and the whole, so that not all clients come back together"
                got = f"seven waits of {', '.join(f'{each} s' for each in sorted(different))}"
                raise Failure(after=play.did, got=got, expect="waits that differ", likely=likely)

    @staticmethod
    async def _waits(
        play: Stage, ended: float, visit: Visit, longest: float, *, delays: tuple[float, float], slow: float = SLOW
    ) -> list[float]:
        """Judge the delay before a try.

        What the client asked its loop for is exact. The clock, which a busy machine makes late, decides only about a
        client that waits in another way.

        Args:
            play: the stage of the client.
            ended: when the try before ended, by the clock.
            visit: the try.
            longest: seconds of the longest delay that is right here.
            delays: the shortest and the longest of all delays, in seconds. One timer in between is the delay.
            slow: seconds that a try may come later, by the clock.

        Returns:
            What the client asked its loop for, as far as it's a right delay.

        Raises:
            Failure: the delay is too short or too long.
        """
        await play.do("waits")
        asked = (await play.next(expect="how long it waited", likely="it waits"))["seconds"]
        fitting = [each for each in asked if longest / 2 - ACCURACY <= each <= longest + ACCURACY]
        wait = visit.at - ended
        delay = [each for each in asked if delays[0] - ACCURACY <= each <= delays[1] + ACCURACY]
        # It may subtract what it has done since. And the end of a connection takes a moment to arrive.
        least = longest / 2 - 0.01
        too_long = any(longest + ACCURACY < each <= wait + 0.01 and each >= 0.8 * wait for each in asked)
        right = least <= delay[0] < longest if len(delay) == 1 else least <= wait <= longest + slow and not too_long
        if not fitting and not right:
            likely = (
                "delay n is random between half and the whole of min(cap, base * 2**n); n is 0 again when a message or "
                "an ack has come, and a handshake alone does not reset it"
            )
            got = f"the next try after {delay[0] if len(delay) == 1 else wait:.3f} s"
            expect = f"a delay from {longest / 2:.3f} to {longest:.3f} s"
            raise Failure(after=play.did, got=got, expect=expect, likely=likely)
        return fitting

    @check(5, "begins anew with short waits when a message or an ack has come")
    async def test_reset(self, subject: Subject) -> None:
        await asyncio.gather(*(self._begins_anew(subject, with_ack) for with_ack in (False, True)))

    async def _begins_anew(self, subject: Subject, with_ack: bool) -> None:
        base = 0.01
        async with stage(subject) as play:
            await play.begin(base=base, cap=30)
            for _ in range(7):
                (await play.visit(likely="it tries again", seconds=play.patience + 3)).refuse(503)
            await play.do("waits")
            await play.next(expect="how long it waited", likely="it waits")
            visit = await play.visit(likely="it tries again", seconds=play.patience + 5)
            await visit.accept()
            if with_ack:
                await play.do("send", text="hello")
                await visit.send(ack(await key_of(play, visit, "hello"), 1))
                await play.does("sent", text="hello", id=1, likely="send() gives the id")
            else:
                await visit.send(message(1, "Grace", "hello"))
                await play.does("item", item=message(1, "Grace", "hello"), likely="a message is handed on")
            ended = asyncio.get_running_loop().time()
            visit.drop()
            what = "an ack" if with_ack else "a message"
            play.did = f"seven refused tries, and then {what} before the connection was lost"
            visit = await play.visit(likely="a message or an ack sets n to 0 again", seconds=play.patience + 3)
            # Without that, the wait would be longer than 0.6 s.
            await self._waits(play, ended, visit, base, delays=(base / 2, base), slow=0.5)
