"""Step 09, solution: a connection as uvicorn has it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

# What a send raises when the connection is lost, and what it raises when it has been closed.
GONE = (OSError, RuntimeError)


@dataclass(frozen=True)
class Connection:
    send: Send
    takes_more: Callable[[], bool]
    abort: Callable[[], None]


class WithConnection:
    """Middleware: every WebSocket finds its connection in its state."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # This send is a method of uvicorn's object for the connection. ASGI itself has no word for asking whether a
            # send would wait, nor for ending a connection at once.
            uvicorns_send: Any = send
            uvicorns = uvicorns_send.__self__
            scope["state"]["connection"] = Connection(send, uvicorns.writable.is_set, uvicorns.transport.abort)
        await self.app(scope, receive, send)
