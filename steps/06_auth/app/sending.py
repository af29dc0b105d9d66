"""Step 06, lesson: sending to sockets and closing them, as in the solution of step 05."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


async def send(tabs: Iterable[WebSocket], message: dict[str, Any]) -> None:
    for tab in tabs:
        # That a tab is gone is for its own endpoint. Here somebody else's runs.
        with suppress(*GONE):
            await tab.send_json(message)


async def close(tabs: Iterable[WebSocket], code: int, reason: str) -> None:
    async def close_one(tab: WebSocket) -> None:
        with suppress(*GONE):
            await tab.close(code, reason)

    # Side by side, because a tab that does not read cannot be closed until it does.
    await asyncio.gather(*map(close_one, tabs))
