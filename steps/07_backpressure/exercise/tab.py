"""Step 07, exercise: a tab, which is one connection of a member, with its send queue and its writer."""

import asyncio
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message as ASGIEvent
from starlette.websockets import WebSocketDisconnected

from .settings import MAX_QUEUED_FRAMES

# TODO 2: while a client reads nothing, queue at most 64 messages for its tab. At the next one, disconnect the tab, and
#         remove it from the list immediately. If its client reads on, at least 1 MiB a second, it gets all queued
#         messages, then close code 1013. If it reads nothing for CLOSE_TIMEOUT, abort the connection. No other member
#         waits more than 100 ms for a message. A burst of 400 messages of 2,000 characters in one write doesn't
#         disconnect a member that reads. You need chat.py, main.py and a new file, connection.py, too.
# TODO 4: on SIGTERM, every client that reads gets 1012, and the process ends within 3 seconds, even if a client reads
#         nothing. The place is the end of the endpoint, in chat.py.

# The first send to a disconnected client raises WebSocketDisconnect, and later ones WebSocketDisconnected.
DISCONNECT_ERRORS = (WebSocketDisconnect, WebSocketDisconnected)


class Tab:
    def __init__(self, name: str, websocket: WebSocket) -> None:
        self.name = name
        self.websocket = websocket
        self.send_queue: asyncio.Queue[ASGIEvent] = asyncio.Queue(MAX_QUEUED_FRAMES)

    def try_put(self, event: ASGIEvent) -> bool:
        """Queue an event unless the queue is full, and return whether it's queued."""
        if self.send_queue.full():
            return False
        self.send_queue.put_nowait(event)
        return True

    async def write(self) -> None:
        """Send the queued events. Only this task waits for the connection."""
        # Ignore disconnects: the endpoint receives them, and cleans up.
        with suppress(*DISCONNECT_ERRORS):
            while True:
                await self.websocket.send(await self.send_queue.get())

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        # Empty the queue: it may be full, and the close needs a place.
        while not self.send_queue.empty():
            self.send_queue.get_nowait()
        self.send_queue.put_nowait({"type": "websocket.close", "code": code, "reason": reason})
