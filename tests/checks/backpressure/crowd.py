"""Step 07, TODO 3: pings in a large room."""

import contextlib

from judge.clients import Client
from judge.members import PING, Members, joined
from judge.messages import show
from judge.model import Failure
from judge.subject import Subject
from judge.tasks import running

from .room import LONG_BEAT, talk

CROWD = 60
"""Members in a large room."""
LIMITED = "Not every member of a large room gets pings. In each round, loop over all tabs, without a limit."
NOT_COUNTED = (
    "A tab of a large room is closed although it has just joined, or has sent something. Count the unanswered pings of "
    "each tab, and set the count to 0 with each event of that tab."
)


async def read_pings(tab: Client, count: int, *, likely: str) -> None:
    """Read until a tab has received this number of pings, and answer none."""
    for _ in range(count):
        while await tab.next_object(expect="a ping", likely=likely) != PING:
            pass


async def crowd_is_pinged(subject: Subject) -> None:
    """Check that every member of a large room gets a ping.

    Raises:
        Failure: one gets none.
    """
    for beat in (LONG_BEAT, 5 * LONG_BEAT):
        try:
            return await _crowd_is_pinged(Members(await subject.under(HEARTBEAT_INTERVAL=str(beat))), beat)
        except Failure as failure:
            # On a busy machine, the members connect too slowly for a short interval.
            if beat > LONG_BEAT or "4408" not in failure.got:
                raise


async def _crowd_is_pinged(members: Members, beat: float) -> None:
    room, last = members.room(), joined(f"member {CROWD}")
    tabs: list[Client] = []
    async with contextlib.AsyncExitStack() as stack:
        for number in range(1, CROWD + 1):
            tabs.append(await stack.enter_async_context(members.tab(room, f"member {number}")))
            # None seems silent, however long the check takes.
            await stack.enter_async_context(running(talk(tabs[-1], beat)))
        while await tabs[0].next_object(expect=show(last), likely=NOT_COUNTED) != last:
            pass
        tabs[0].patience += beat
        for _ in range(2):
            await read_pings(tabs[0], 1, likely=LIMITED)
        for number, tab in enumerate(tabs[1:], 2):
            await tab.send({"type": "direct", "to": f"member {number}", "text": "mark"})
            tab.did, pinged, value = "a direct message to itself", False, None
            while not (isinstance(value, dict) and value.get("type") == "direct"):
                value = await tab.next_object(expect="the direct message", likely=NOT_COUNTED)
                pinged = pinged or value == PING
            if not pinged:
                after = f"{CROWD} members joined a room, and the first one has received two pings since then"
                got, expect = f"no ping on the tab of member {number}", "a ping on each tab"
                raise Failure(after=after, got=got, expect=expect, likely=LIMITED)
