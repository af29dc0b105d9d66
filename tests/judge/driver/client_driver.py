"""Run the client of an answer in a separate process, with commands from the judge.

    PYTHONPATH=tests/judge/driver:steps/09_client python -m client_driver ws://127.0.0.1:8000/control

The driver receives commands and sends events as JSON, over a connection to the judge.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Coroutine
from typing import Any, ClassVar

from exercise.client import ResilientClient
from websockets.asyncio.client import connect


class Loop(asyncio.SelectorEventLoop):
    """An event loop that records the requested delays. Measured delays would also depend on the machine."""

    waits: ClassVar[list[float]] = []

    def call_at(self, when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        """Record the delay, and schedule the callback."""
        self.waits.append(when - self.time())
        return super().call_at(when, *arguments, **options)


resolve = socket.getaddrinfo
unresolved = iter(range(2))
"""The attempts to resolve `chat.invalid` that fail. After these two, it resolves to this machine."""


def resolve_later(host: Any, *arguments: Any, **options: Any) -> Any:
    """Call `socket.getaddrinfo`, with other results for the host `chat.invalid`.

    Raises:
        socket.gaierror: the name can't be resolved.
    """
    if host == "chat.invalid":
        if next(unresolved, None) is not None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        host = "127.0.0.1"
    return resolve(host, *arguments, **options)


socket.getaddrinfo = resolve_later


async def main(control: str) -> None:
    """Run the commands from this connection until it ends."""
    clients: dict[int, Any] = {}
    readers: dict[int, asyncio.Task[None]] = {}
    mine: set[asyncio.Task[Any]] = set()

    def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        mine.add(task)
        task.add_done_callback(mine.discard)
        return task

    async with connect(control, max_size=None, ping_interval=None, proxy=None) as judge:

        async def say(event: str, **more: Any) -> None:
            await judge.send(json.dumps({"event": event, **more}))

        async def read(number: int, client: Any) -> None:
            async for item in client:
                await say("item", client=number, item=item)
            await say("over", client=number, stopped=client.stopped)

        async def send(number: int, client: Any, text: str, times: int = 1) -> None:
            try:
                await say("sent", client=number, text=text, id=await client.send(text * times))
            except ConnectionError:
                await say("failed", client=number, text=text)
            except ValueError:
                await say("rejected", client=number, text=text)

        before = asyncio.all_tasks()
        async for frame in judge:
            command = json.loads(frame)
            number = command.pop("client")
            match command.pop("do"):
                case "begin":
                    reads = command.pop("read", True)
                    client = ResilientClient(**command)
                    await client.__aenter__()
                    clients[number] = client
                    if reads:
                        readers[number] = start(read(number, client))
                case "read":
                    readers[number] = start(read(number, clients[number]))
                case "send":
                    start(send(number, clients[number], **command))
                case "handled":
                    await say("handled", client=number)
                case "waits":
                    await say("waits", client=number, seconds=Loop.waits)
                    Loop.waits.clear()
                case "end":
                    await clients[number].__aexit__(None, None, None)
                    left = [repr(task.get_coro()) for task in asyncio.all_tasks() - before if task not in mine]
                    # Wait for the readers and senders: the end of the client must stop them.
                    await asyncio.wait([readers[number], *mine], timeout=1)
                    await say("ended", client=number, left=left, waiting=len(mine))


with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(main(sys.argv[1]))
