"""Run an answer so that a check can hold `websocket.accept()`: the moment between the handshake and the join.

    ANSWER=steps/08_reconnect uvicorn accept_probe:app --app-dir tests/judge

The send of accept waits if the handshake has the header X-Hold, until GET /release. GET /held counts those that wait.
"""

import asyncio
import importlib
import json
import os
import sys

from starlette.types import Message, Receive, Scope, Send

sys.path.insert(0, os.environ["ANSWER"])
answer = importlib.import_module("exercise.main").app
waiting: set[asyncio.Event] = set()


async def respond(send: Send, value: object) -> None:
    """Send a value as JSON."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the answer, with a send that can wait."""
    if scope["type"] == "http" and scope["path"] in ("/held", "/release"):
        if scope["path"] == "/release":
            for event in waiting:
                event.set()
        await respond(send, len(waiting))
        return

    async def held_send(message: Message) -> None:
        if message["type"] == "websocket.accept":
            waiting.add(event := asyncio.Event())
            await event.wait()
            waiting.discard(event)
        await send(message)

    is_held = scope["type"] == "websocket" and any(name == b"x-hold" for name, _ in scope["headers"])
    await answer(scope, receive, held_send if is_held else send)
