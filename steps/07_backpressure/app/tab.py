"""Step 07, lesson: a tab, which is one connection of a member, with its send queue and its writer."""

import asyncio
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message as ASGIEvent
from starlette.websockets import WebSocketDisconnected

# The first send to a disconnected client raises WebSocketDisconnect, and later ones WebSocketDisconnected.
DISCONNECT_ERRORS = (WebSocketDisconnect, WebSocketDisconnected)
MAX_QUEUED_FRAMES = 64


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
