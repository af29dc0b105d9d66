"""Run the mirror of an answer of step 13 in a separate process, with commands from the judge.

    PYTHONPATH=tests/judge/driver:steps/13_live_data python -m mirror_driver ws://127.0.0.1:8000/control

The driver receives commands and sends events as JSON, over a connection to the judge. It sends the mirror's state
after each change. If SPEED is set in the environment, the clock of its event loop runs so many times as fast.
"""

import asyncio
import json
import logging
import os
import random
import selectors
import sys
import traceback
from types import FrameType
from typing import Any, ClassVar

from exercise.mirror import Mirror
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

INTERVAL = 0.005
"""Seconds between two looks at the mirror. It has nothing to wait for."""
CLOSING = 100
"""The number of these intervals in which the tasks of a mirror may end."""
SPEED = float(os.environ.get("SPEED", "1"))
"""Seconds of the event loop's clock for each real second."""
SEED = 1163
"""With it, all of the first eight random numbers are below 0.45, so a delay without a lower limit is found."""


class Selector(selectors.DefaultSelector):
    """A selector whose timeouts are in seconds of the event loop's clock."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, at most `timeout` seconds of the event loop's clock."""
        return super().select(timeout / SPEED if timeout and timeout > 0 else timeout)


def is_of_the_answer(path: str) -> bool:
    """Return whether this is a file of the answer."""
    return os.path.basename(os.path.dirname(path)) == "exercise"


class Loop(asyncio.SelectorEventLoop):
    """An event loop that records the delays that the answer itself requests. Those of websockets aren't its own."""

    delays: ClassVar[list[float]] = []
    """The delays since the last answer, in seconds of its clock."""
    sleeps: ClassVar[list[float]] = []
    """Those of `asyncio.sleep`, without timeouts."""
    library_sleeps = 0
    """How often a library has slept for the answer, such as websockets before it connects again."""

    def time(self) -> float:
        """Return the time of its clock."""
        return super().time() * SPEED

    def call_at(self, when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        """Record the delay, and schedule the callback."""
        frame, sleeps = sys._getframe(1), False
        while frame.f_back and os.path.dirname(frame.f_code.co_filename) == os.path.dirname(asyncio.__file__):
            sleeps = frame.f_code.co_name == "sleep"
            frame = frame.f_back
        if is_of_the_answer(frame.f_code.co_filename):
            Loop.delays.append(when - self.time())
            if sleeps:
                Loop.sleeps.append(Loop.delays[-1])
        elif sleeps:
            caller: FrameType | None = frame
            while caller and not is_of_the_answer(caller.f_code.co_filename):
                caller = caller.f_back
            Loop.library_sleeps += caller is not None
        return super().call_at(when, *arguments, **options)


class Warnings(logging.Handler):
    """Counts the warnings that the answer itself logs, and prints its errors as usual."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count a record."""
        self.count += is_of_the_answer(record.pathname)
        if record.levelno >= logging.ERROR and logging.lastResort:
            logging.lastResort.handle(record)


def is_own(task: asyncio.Task[Any]) -> bool:
    """Return whether a task runs a coroutine of the answer."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and is_of_the_answer(code.co_filename)


def state_of(mirror: Any) -> dict[str, Any]:
    """Return the state of a mirror."""
    return {"values": dict(mirror.values), "seq": mirror.seq, "stale": bool(mirror.stale)}


def place_of(error: BaseException) -> str:
    """Return an exception with the learner's innermost line."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "exercise" in frame.filename]
    place = f" (mirror.py:{frames[-1].lineno}, in {frames[-1].name}())" if frames else ""
    return f"{type(error).__name__}: {error}"[:200] + place


async def main(control: str) -> None:
    """Run the commands from this connection until it ends."""
    own = asyncio.current_task()
    warnings = Warnings()
    logging.getLogger().addHandler(warnings)
    random.seed(SEED)
    # No timeout: with SPEED, it would be much shorter on a busy machine.
    async with connect(control, max_size=None, open_timeout=None, ping_interval=None, proxy=None) as judge:

        async def send(event: str, **more: Any) -> None:
            await judge.send(json.dumps({"event": event, **more}))

        async def watch(mirror: Any) -> None:
            last = None
            while True:
                if (state := state_of(mirror)) != last:
                    last = state
                    await send("state", **state)
                await asyncio.sleep(INTERVAL)

        before: set[asyncio.Task[Any]] = set()
        mirror: Any = None
        watching: asyncio.Task[None] | None = None
        async for command in judge:
            match json.loads(command):
                case {"do": "enter", "url": url, "topics": topics}:
                    before = asyncio.all_tasks()
                    try:
                        mirror = Mirror(url, topics)
                        await mirror.__aenter__()
                        watching = asyncio.create_task(watch(mirror))
                    except Exception as error:
                        await send("crashed", error=place_of(error))
                case {"do": "ask"}:
                    try:
                        delays, sleeps = Loop.delays[:], Loop.sleeps[:]
                        counts = {"library_sleeps": Loop.library_sleeps, "warnings": warnings.count}
                        await send("answer", **state_of(mirror), delays=delays, sleeps=sleeps, **counts)
                        Loop.delays.clear()
                        Loop.sleeps.clear()
                    except Exception as error:
                        await send("crashed", error=place_of(error))
                case {"do": "exit"}:
                    if watching:
                        watching.cancel()
                        await asyncio.wait([watching])
                    try:
                        await mirror.__aexit__(None, None, None)
                    except Exception as error:
                        await send("crashed", error=place_of(error))
                    left = asyncio.all_tasks() - before - {own}
                    # Those of the library may take a moment, such as when an iterator over connections is closed.
                    for _ in range(CLOSING):
                        if not left or any(map(is_own, left)):
                            break
                        await asyncio.sleep(INTERVAL)
                        left = asyncio.all_tasks() - before - {own}
                    coroutines = [task.get_coro() for task in left]
                    names = [getattr(each, "__qualname__", type(each).__name__) for each in coroutines]
                    await send("exited", tasks=sorted(names))


if __name__ == "__main__":
    try:
        with asyncio.Runner(loop_factory=lambda: Loop(Selector())) as runner:
            runner.run(main(sys.argv[1]))
    except ConnectionClosed:
        pass  # The judge has ended.
