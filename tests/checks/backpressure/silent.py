"""Step 07, TODO 3: silent members whose clients read nothing, or read on."""

import asyncio
import contextlib
import time

from judge.clients import Client, anything
from judge.members import PING, Members, left, message
from judge.messages import parsed, show
from judge.model import Failure, Likely, check
from judge.sessions import read_on
from judge.subject import Subject
from judge.tasks import running

from .heartbeat import NEVER_CLOSED, PINGS
from .room import BEAT, BLOCK, BLOCKED, CLOSING, HELD_BRIEFLY, let_go, talk

SHORT_BEAT = 0.1
"""Heartbeat interval in seconds if no member must stay connected, so a busy machine can't be too slow for it."""
OFF_THE_LIST = 1.0
"""Seconds by which a busy machine may be late when it removes a silent member from the list."""
CLOSE_TIMEOUT = 2.0
"""CLOSE_TIMEOUT by default, in seconds."""
NOT_FULL = (
    "A tab whose writer waits in a send is disconnected as too slow, though fewer than 64 messages are queued for it. "
    "Only a message that's the 65th may do that."
)
NOT_A_MESSAGE = (
    "Pings or notices take ids of the room. Take an id in the place where a message is sent to the room, and nowhere "
    "else."
)
IDS_LOST = (
    "The ids of a room begin with 1 again after its last member was disconnected. Keep the last id of a room when you "
    "delete the room."
)
SILENT_QUEUE = (
    "A silent member that reads on doesn't get its queue and then 4408. Put the close behind the queued messages, and "
    "abort only if its client reads nothing for CLOSE_TIMEOUT."
)
OLD_TAB = (
    "The end of a silent tab removes the new tab of its name. When an endpoint ends, remove its own tab, and look "
    "whether it's still in the room."
)


class Silent:
    @check(3, "releases the connection of a silent member that reads nothing, and sends its queue if it reads on")
    async def test_silent_and_stuck(self, subject: Subject) -> None:
        async with subject.another(counting=True, HEARTBEAT_INTERVAL=str(SHORT_BEAT), CLOSE_TIMEOUT=CLOSING) as own:
            before = await own.unfinished()
            talking = self._sends_its_queue(Members(await subject.under(HEARTBEAT_INTERVAL=str(BEAT))))
            await asyncio.gather(self._is_released(own), talking)
            await own.eventually_idle(before, after="silent members were disconnected, and the others left")

    async def _is_released(self, own: Subject) -> None:
        """Check that a silent member that reads nothing is off the list, can rejoin, and is released."""
        members = Members(own)
        after = f"Linus sends nothing more and reads nothing; HEARTBEAT_INTERVAL={SHORT_BEAT}"
        for _ in range(3):
            room = members.room()
            async with members.tab(room, "Linus", tiny=True) as linus:
                if not await self._is_off_the_list(members, room, linus, SHORT_BEAT):
                    continue
                async with members.tab(room, "Linus") as new, running(talk(new, SHORT_BEAT)):
                    await members.enters(new, "Linus", likely="The name can't rejoin after 4408.")
                    await let_go(own, linus, after=after, held=HELD_BRIEFLY)
                    if new.connection.close_code is None:
                        rejoined = f"{after}; Linus has rejoined with a new tab"
                        try:
                            await members.are(room, "Linus", after=rejoined, likely=OLD_TAB)
                        except Failure:
                            if not await self._seems_silent(new):
                                raise
                            continue
                return

    @staticmethod
    async def _seems_silent(tab: Client) -> bool:
        """Wait until a tab is closed, for a second at most, and return whether it's closed with 4408.

        On a busy machine, the pongs of a tab may be so late that it's rightly closed.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await tab.connection.wait_closed()
        return tab.connection.close_code == 4408

    async def _sends_its_queue(self, members: Members) -> None:
        """Check that a silent member that reads on gets its queue, and then the close code."""
        for _ in range(3):
            room = members.room()
            async with members.tab(room, "Linus", tiny=True) as linus:
                start = time.perf_counter()
                if not await self._is_off_the_list(members, room, linus, BEAT):
                    continue
                read_on(linus)
                linus.did = f"nothing; Linus was silent, and reads on; HEARTBEAT_INTERVAL={BEAT}"
                likely = Likely(SILENT_QUEUE, closed=SILENT_QUEUE)
                try:
                    came = await linus.is_closed(4408, likely=likely, besides=anything)
                except Failure as failure:
                    if linus.connection.close_code == 1013:
                        failure.likely = NOT_FULL
                        raise
                    # A busy machine may be late, and then the connection is rightly aborted.
                    if time.perf_counter() - start < 3 * BEAT + CLOSE_TIMEOUT:
                        raise
                    continue
                # Ada leaves meanwhile, on a busy machine after the last ping.
                own = [frame for frame in came if len(frame) > len(BLOCK) or parsed(frame) != left("Ada")]
                if not any(len(frame) > len(BLOCK) for frame in own) or parsed(own[-1]) != PING:
                    got = f"{len(came)} messages, the last one {show(came[-1]) if came else 'none'}, and then 4408"
                    expect = "the queued message and the queued pings, and then 4408"
                    raise Failure(sent=linus.did, got=got, expect=expect, likely=SILENT_QUEUE)
                return await self._continues_the_ids(members, room)

    @staticmethod
    async def _continues_the_ids(members: Members, room: str) -> None:
        """Check the next id in a room with one message, whose last member was disconnected as silent."""
        async with members.tab(room, "Grace") as grace:
            await grace.send({"type": "message", "text": "again"})
            grace.after = "the last member of the room had sent message 1, and was disconnected as silent"
            value: object = None
            while not (isinstance(value, dict) and value.get("type") == "message"):
                value = await grace.next_object(expect="message 2", likely=IDS_LOST)
            if value != message(2, "Grace", "again"):
                expect = show(message(2, "Grace", "again"))
                likely = IDS_LOST if value.get("id") == 1 else NOT_A_MESSAGE
                raise Failure(sent=grace.did, after=grace.after, got=show(value), expect=expect, likely=likely)

    async def _is_off_the_list(self, members: Members, room: str, linus: Client, beat: float) -> bool:
        """Let Linus fill his connection and fall silent, and wait until he's off the list.

        Returns:
            Whether the server had read his message before. On a busy machine, he may seem silent too early.
        """
        linus.stop_reading()
        async with members.tab(room, "Ada") as ada, running(talk(ada, beat)):
            await linus.send({"type": "message", "text": BLOCK})
            ada.did = "pongs; Linus sent a large message"
            try:
                pings = 0
                while (value := await ada.next_object(expect="Linus's message", likely=BLOCKED)) != left("Linus"):
                    if isinstance(value, dict) and value.get("type") == "message":
                        break
                    pings += value == PING
                    if pings > 10:
                        return False  # He was removed before Ada joined.
            except Failure:
                if ada.connection.close_code != 4408:
                    raise
                return False
            if value == left("Linus"):
                return False
        start = time.perf_counter()
        while (await members.subject.get(members.list_path(room), likely=PINGS)).status_code != 404:
            if time.perf_counter() > start + 4 * beat + OFF_THE_LIST:
                raise Failure(
                    after=f"Linus sends nothing more and reads nothing; HEARTBEAT_INTERVAL={beat}",
                    got="Linus still on the list",
                    expect="Linus off the list within four intervals",
                    likely=NEVER_CLOSED,
                )
            await asyncio.sleep(beat / 5)
        return True
