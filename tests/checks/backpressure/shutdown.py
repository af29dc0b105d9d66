"""Step 07, TODO 4: the process ends soon after SIGTERM."""

import asyncio
import contextlib
import os
import signal
import sys
import time

from judge.clients import anything
from judge.members import Members
from judge.model import Failure, check
from judge.subject import Subject

from .room import CLOSING, FILLING, HUGE, a_room

GONE_AFTER = 3.0
"""Maximum number of seconds from SIGTERM to the end of the process."""
SHUTDOWN = (
    "uvicorn waits for the stuck connection before lifespan hears of the end: its endpoint does get "
    "websocket.disconnect, with code 1012; abort the transport a moment later"
)


class Shutdown:
    @check(4, "ends within 3 s of SIGTERM, whoever is stuck, and tells who reads")
    async def test_terminates(self, subject: Subject) -> None:
        if sys.platform == "win32":
            return  # A process on Windows can't receive SIGTERM.
        await asyncio.gather(*(self._terminate(subject, kind) for kind in ("nobody", "one", "dropped")))

    @staticmethod
    async def _terminate(subject: Subject, kind: str) -> None:
        async with (
            subject.another(CLOSE_TIMEOUT=CLOSING) as own,
            a_room(own, "Ada") as (room, talk),
            a_room(own, "Grace") as (_, elsewhere),
            contextlib.AsyncExitStack() as stack,
        ):
            after = "everybody reads"
            if kind != "nobody":
                linus = await stack.enter_async_context(Members(own).tab(room, "Linus", small_buffers=True))
                linus.stop_reading()
                after = "Linus stopped reading"
                if kind == "one":
                    for _ in range(FILLING):
                        await talk.say(HUGE, after=after)
                else:
                    await talk.fill("Linus", since=0, after=after)
                    after += ", and was dropped"
            os.kill(own.server.pid, signal.SIGTERM)
            start = time.perf_counter()
            for tab in (*talk.all, *elsewhere.all):
                tab.did, tab.after = "nothing; SIGTERM went to the process", after
                await tab.is_closed(
                    1012, likely="uvicorn closes with 1012 by itself, if the endpoint lets it", besides=anything
                )
            # It returns when the process has closed its output.
            await asyncio.to_thread(own.server.wait_for, lambda log: False, GONE_AFTER - (time.perf_counter() - start))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    while own.server.exit_code is None:
                        await asyncio.sleep(0.01)
            if own.server.exit_code is None:
                got = f"the process still running after {GONE_AFTER:g} s"
                raise Failure(sent="SIGTERM to the process", after=after, got=got, expect="its end", likely=SHUTDOWN)
