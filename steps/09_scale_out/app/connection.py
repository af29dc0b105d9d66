"""Step 09, lesson: a connection as uvicorn has it."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a send raises when the connection is lost, and what it raises when it has been closed.
GONE = (OSError, RuntimeError)


@dataclass(frozen=True)
class Connection:
    send: Callable[[Message], Coroutine[Any, Any, None]]
    abort: Callable[[], None]


class WithConnection:
    """Middleware: every WebSocket finds its connection in its state."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # This send is a method of uvicorn's object for the connection, which also holds the transport. ASGI itself
            # has no word for ending a connection at once.
            uvicorns_send: Any = send
            scope["state"]["connection"] = Connection(uvicorns_send, uvicorns_send.__self__.transport.abort)
        await self.app(scope, receive, send)
