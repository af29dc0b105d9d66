"""Step 06, lesson: send to connections and close them, as in the solution of step 05."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

# The first send to a disconnected client raises WebSocketDisconnect, and later ones RuntimeError.
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)


async def send(tabs: Iterable[WebSocket], message: dict[str, Any]) -> None:
    for tab in tabs:
        # Ignore disconnects: this runs in another tab's endpoint; the tab's own endpoint cleans up.
        with suppress(*DISCONNECT_ERRORS):
            await tab.send_json(message)


async def close(tabs: Iterable[WebSocket], code: int, reason: str) -> None:
    async def close_one(tab: WebSocket) -> None:
        with suppress(*DISCONNECT_ERRORS):
            await tab.close(code, reason)

    # Concurrently, because close() waits for a tab that reads nothing.
    await asyncio.gather(*map(close_one, tabs))
