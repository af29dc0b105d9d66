"""Run the client of an answer in a separate process, with commands from the judge.

    PYTHONPATH=tests/judge/driver:steps/09_client python -m client_driver ws://127.0.0.1:8000/control

The driver receives commands and sends events as JSON, over a connection to the judge.
"""

import asyncio
import contextvars
import inspect
import json
import socket
import sys
import traceback
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, ClassVar

from exercise.client import ResilientClient
from websockets.asyncio.client import connect

owner: contextvars.ContextVar[int | None] = contextvars.ContextVar("owner", default=None)
"""The number of the client whose code runs here, or None."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop that records the requested delays. Measured delays would also depend on the machine."""

    waits: ClassVar[defaultdict[int | None, list[float]]] = defaultdict(list)
    """By client: the delays, in seconds."""

    def call_at(self, when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        """Record the delay, and schedule the callback."""
        Loop.waits[owner.get()].append(when - self.time())
        return super().call_at(when, *arguments, **options)


resolve = socket.getaddrinfo
unresolved: dict[str, int] = {}
"""By host: the number of attempts to resolve it that still fail. After them, it resolves to this machine."""


def resolve_later(host: Any, *arguments: Any, **options: Any) -> Any:
    """Call `socket.getaddrinfo`, with other results for hosts such as `fails-2.invalid`.

    Raises:
        socket.gaierror: the name can't be resolved.
    """
    if isinstance(host, str) and host.endswith(".invalid"):
        left = unresolved.setdefault(host, int(host.removesuffix(".invalid").rpartition("-")[2]))
        unresolved[host] = left - 1
        if left > 0:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        host = "127.0.0.1"
    return resolve(host, *arguments, **options)


socket.getaddrinfo = resolve_later


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a group and in the groups inside it, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]


def told(error: BaseException) -> list[dict[str, Any]]:
    """Describe exceptions: the name, the names of the base classes, the message, and the learner's innermost line."""
    described = []
    for leaf in leaves(error):
        frames = [frame for frame in traceback.extract_tb(leaf.__traceback__) if "exercise" in frame.filename]
        place = f"client.py:{frames[-1].lineno}, in {frames[-1].name}()" if frames else ""
        bases = [base.__name__ for base in type(leaf).__mro__]
        # Show half an emoji escaped: UTF-8 can't encode it.
        message = str(leaf).encode("utf-8", "backslashreplace").decode()
        described.append({"type": bases[0], "bases": bases, "message": message[:200], "place": place})
    return described


def suspended(task: asyncio.Task[Any]) -> dict[str, str] | None:
    """Return the learner's innermost line in which a task waits, and what it calls there, if that's of websockets."""
    frames, awaited = [], task.get_coro()
    while awaited is not None:
        if frame := getattr(awaited, "cr_frame", None):
            frames.append(frame)
        awaited = getattr(awaited, "cr_await", None)
    theirs = [place for place, frame in enumerate(frames) if "exercise" in frame.f_code.co_filename]
    if not theirs:
        return None
    frame, *called = frames[theirs[-1] :]
    calls = called[0].f_code.co_name if called and "websockets" in called[0].f_code.co_filename else ""
    return {"place": f"client.py:{frame.f_lineno}, in {frame.f_code.co_name}()", "calls": calls}


async def main(control: str) -> None:
    """Run the commands from this connection until it ends."""
    clients: dict[int, Any] = {}
    readers: dict[int, asyncio.Task[None]] = {}
    mine: set[asyncio.Task[Any]] = set()
    calls: dict[tuple[int, str], asyncio.Task[None]] = {}
    theirs: defaultdict[int, set[asyncio.Task[Any]]] = defaultdict(set)
    contexts: dict[int, contextvars.Context] = {}

    def start(coroutine: Coroutine[Any, Any, None], number: int) -> asyncio.Task[None]:
        # Not by the factory: this task isn't the client's, although it runs in the client's context.
        task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), context=contexts[number])
        mine.add(task)
        task.add_done_callback(mine.discard)
        return task

    async with connect(control, max_size=None, ping_interval=None, proxy=None) as judge:

        async def say(event: str, **more: Any) -> None:
            await judge.send(json.dumps({"event": event, **more}))

        def report(task: asyncio.Task[Any], number: int, is_root: bool) -> None:
            theirs[number].discard(task)
            # Don't call exception(): asyncio wouldn't log an exception that the answer never retrieves.
            if error := getattr(task, "_exception", None):
                told_now = say("crashed", client=number, root=is_root, errors=told(error))
                asyncio.get_running_loop().create_task(told_now, context=contextvars.Context())

        def make_task(
            loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
        ) -> asyncio.Task[Any]:
            task = asyncio.Task(coroutine, loop=loop, **options)
            if (number := owner.get()) is not None:
                theirs[number].add(task)
                is_root = asyncio.current_task() in mine
                task.add_done_callback(lambda done: report(done, number, is_root), context=contextvars.Context())
            return task

        asyncio.get_running_loop().set_task_factory(make_task)

        async def enter(number: int, options: dict[str, Any], reads: bool, is_empty: bool) -> None:
            try:
                clients[number] = ResilientClient(**options)
                await clients[number].__aenter__()
                if is_empty:
                    await clients[number].__aexit__(None, None, None)
            except Exception as error:
                await say("crashed", client=number, root=True, errors=told(error))
                return
            if reads:
                readers[number] = start(read(number), number)

        async def read(number: int) -> None:
            try:
                async for item in clients[number]:
                    await say("item", client=number, item=item)
            except Exception as error:
                return await say("raised", client=number, what="the iteration", errors=told(error))
            await say("over", client=number, stopped=getattr(clients[number], "stopped", None))

        async def send(number: int, text: str, times: int = 1) -> None:
            try:
                sent = await clients[number].send(text * times)
                await say("sent", client=number, text=text, id=sent)
            except asyncio.CancelledError:
                await say("canceled", client=number, text=text)
            except ConnectionError:
                await say("failed", client=number, text=text)
            except ValueError:
                await say("rejected", client=number, text=text)
            except Exception as error:
                await say("raised", client=number, what="send()", text=text, errors=told(error))

        async def leave(number: int, with_error: bool) -> None:
            error = ConnectionResetError("an error in the block of async with") if with_error else None
            more: dict[str, Any] = {}
            try:
                if await clients[number].__aexit__(error and type(error), error, None) and with_error:
                    more["swallowed"] = True
            except Exception as raised:
                more["raised"] = told(raised)
            left = [repr(task.get_coro()) for task in theirs[number] if not task.done()]
            # Wait for the readers and senders: the end of the client must stop them.
            own = [task for (client, _), task in calls.items() if client == number and not task.done()]
            own += [readers[number]] if number in readers else []
            pending = (await asyncio.wait(own, timeout=1))[1] if own else ()
            await say("ended", client=number, left=left, waiting=len(pending), **more)

        async for frame in judge:
            command = json.loads(frame)
            number = command.pop("client")
            if number not in contexts:
                contexts[number] = contextvars.copy_context()
            match command.pop("do"):
                case "begin":
                    reads, is_empty = command.pop("read", True), command.pop("empty", False)
                    contexts[number].run(owner.set, number)
                    await start(enter(number, command, reads, is_empty), number)
                case "read":
                    readers[number] = start(read(number), number)
                case "send":
                    calls[number, command["text"]] = start(send(number, **command), number)
                case "cancel":
                    calls[number, command["text"]].cancel()
                case "handled":
                    await say("handled", client=number)
                case "timer":
                    # A control for the client's own timers, in the same process.
                    seconds, of = command["seconds"], command["of"]
                    start(later(seconds, say("timer", client=of)), number)
                case "waits":
                    await say("waits", client=number, seconds=Loop.waits.pop(command["of"], []))
                case "state":
                    of = command["of"]
                    client = clients.get(of)
                    tasks = [repr(task.get_coro()) for task in theirs[of] if not task.done()]
                    waits = [where for task in theirs[of] if not task.done() and (where := suspended(task))]
                    stopped = getattr(client, "stopped", None)
                    await say("state", client=number, stopped=stopped, tasks=tasks, waits=waits)
                case "defaults":
                    parameters = inspect.signature(ResilientClient).parameters
                    found = {name: each.default for name, each in parameters.items()}
                    numbers = {name: each for name, each in found.items() if isinstance(each, int | float)}
                    await say("defaults", client=number, values=numbers)
                case "end":
                    start(leave(number, command.get("with_error", False)), number)


async def later(seconds: float, what: Coroutine[Any, Any, None]) -> None:
    """Await something after a delay, in seconds."""
    try:
        await asyncio.sleep(seconds)
    except BaseException:
        what.close()
        raise
    await what


with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(main(sys.argv[1]))
