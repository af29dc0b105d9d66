"""Step 07, TODO 4: the process ends soon after SIGTERM."""

import asyncio
import contextlib
import time
from dataclasses import replace

from judge.clients import anything
from judge.members import Members
from judge.model import Failure, Likely, check
from judge.sessions import read_on
from judge.subject import Subject

from .backlog import backlog
from .room import BLOCK, CLOSING, WAITING, a_room

GONE_AFTER = 3.0
"""Maximum number of seconds from SIGTERM to the end of the process."""
CLOSE_TIMEOUT = 2.0
"""CLOSE_TIMEOUT by default, in seconds."""
READS_ON_AFTER = 1.3
"""Seconds after SIGTERM when a member that has paused reads on: more than half of CLOSE_TIMEOUT."""
RARE = "600"
"""Heartbeat interval in seconds, longer than a check."""
CROWD = 30
"""Members of a hard case that read nothing."""
IN_LIFESPAN = (
    "lifespan doesn't end: after its yield, it waits for a task that doesn't end, such as the one of the pings. Cancel "
    "the task, and then wait for it, as supervised() does."
)
IN_ENDPOINT = (
    "All connections are closed, and an endpoint doesn't end: it waits for a task that nothing cancels, or for a send. "
    "In finally, cancel the writer, and wait for no client."
)
IN_CONNECTION = (
    "uvicorn waits for the connection of a client that reads nothing, and lifespan only goes on after that. Its "
    "endpoint gets websocket.disconnect: in finally of the endpoint, start the timer that aborts the transport, for "
    "all connections at the same time."
)
NO_CODE = Likely(
    silence="A member's connection stays open after SIGTERM. uvicorn closes it with 1012 by itself, if your code does "
    "nothing else with the signal.",
    closed="A member that reads is aborted, or the process ends before uvicorn has closed all connections. uvicorn "
    "closes them with 1012 by itself: leave the signal to it, and abort only a connection whose client reads nothing.",
)

ABORTED = replace(
    NO_CODE,
    closed="The connection is aborted less than CLOSE_TIMEOUT, 2 s here, after the end of its endpoint, so a member "
    "that pauses gets no 1012. In finally, wait for the whole CLOSE_TIMEOUT before you abort it, as for a closed tab.",
)


class Shutdown:
    @check(4, "closes the members that read with 1012 at SIGTERM, and ends within 3 s")
    async def test_terminates(self, subject: Subject) -> None:
        kinds = ("Linus stopped reading", "Linus stopped reading, and was disconnected")
        judging = (self._terminates(subject, kind, CLOSE_TIMEOUT=CLOSING) for kind in kinds)
        await asyncio.gather(*judging, self._closes_a_slow_one(subject))

    @check(4, f"ends within 3 s of SIGTERM with {CROWD} stuck members, and the default timeout", hard=True)
    async def test_crowd(self, subject: Subject) -> None:
        await self._terminates(subject, f"{CROWD} members stopped reading, and CLOSE_TIMEOUT isn't set")

    @staticmethod
    async def _terminates(subject: Subject, kind: str, **settings: str) -> None:
        async with (
            subject.another(HEARTBEAT_INTERVAL=RARE, **settings) as own,
            a_room(own, "Ada", "Ada") as (room, talk),
            a_room(own, "Grace") as (_, elsewhere),
            contextlib.AsyncExitStack() as stack,
        ):
            members = Members(own)
            if kind.startswith("Linus"):
                linus = await stack.enter_async_context(backlog(own))
                if "disconnected" in kind:
                    await linus.add(WAITING)
                    await linus.overflows()
                    # And one that DELETE has removed.
                    other = await stack.enter_async_context(backlog(own))
                    await members.remove(other.room, "Linus", likely="DELETE isn't answered.")
            elif kind.startswith(str(CROWD)):
                for number in range(CROWD):
                    tab = await stack.enter_async_context(members.tab(room, f"stuck {number}", tiny=True))
                    tab.stop_reading()
                await talk.say(BLOCK, after=kind)
            await talk.say("hello", after=kind)
            start = _sigterm(own)
            for tab in (*talk.all, *elsewhere.all):
                tab.did, tab.after = "nothing; SIGTERM was sent to the process", kind
                await tab.is_closed(1012, likely=NO_CODE, besides=anything)
            await _ends(own, start, after=kind)

    async def _closes_a_slow_one(self, subject: Subject) -> None:
        """Check that a member that pauses during SIGTERM and reads on gets the close code, as do those that read."""
        for _ in range(4):
            if await self._closed_a_slow_one(subject):
                break

    @staticmethod
    async def _closed_a_slow_one(subject: Subject) -> bool:
        """Do the same once, and return whether the machine was fast enough for a decision."""
        after = f"Linus paused, and reads on {READS_ON_AFTER:g} s after SIGTERM; the others read"
        async with (
            subject.another(HEARTBEAT_INTERVAL=RARE) as own,
            a_room(own, "Ada", "Ada") as (_, talk),
            a_room(own, "Grace") as (_, elsewhere),
            backlog(own) as linus,
        ):
            await talk.say("hello", after=after)
            await linus.add(5)
            start = _sigterm(own)
            await asyncio.sleep(READS_ON_AFTER)
            read_on(linus.linus)
            late = time.perf_counter() - start
            for tab in (*talk.all, *elsewhere.all, linus.ada, linus.linus):
                tab.did, tab.after = "nothing; SIGTERM was sent to the process", after
                likely = ABORTED if tab is linus.linus else NO_CODE
                try:
                    await tab.is_closed(1012, likely=likely, besides=anything)
                except Failure:
                    if tab is linus.linus and late > 0.8 * CLOSE_TIMEOUT:
                        return False
                    raise
            await _ends(own, start, after=after)
            return True


def _sigterm(own: Subject) -> float:
    """Send SIGTERM, and return the time."""
    with contextlib.suppress(ProcessLookupError):
        own.server.terminate()
    return time.perf_counter()


async def _ends(own: Subject, start: float, *, after: str) -> None:
    """Wait until the process has ended.

    Raises:
        Failure: it's still running `GONE_AFTER` seconds after the start.
    """
    # It returns when the process has closed its output.
    await asyncio.to_thread(own.server.wait_for, lambda log: False, GONE_AFTER - (time.perf_counter() - start))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while own.server.exit_code is None:
                await asyncio.sleep(0.01)
    if own.server.exit_code is None:
        log = "\n".join(own.server.log)
        likely = IN_CONNECTION
        if "Waiting for application shutdown" in log:
            likely = IN_LIFESPAN
        elif "Waiting for background tasks" in log:
            likely = IN_ENDPOINT
        got = f"the process still running after {GONE_AFTER:g} s"
        raise Failure(sent="SIGTERM to the process", after=after, got=got, expect="its end", likely=likely)
