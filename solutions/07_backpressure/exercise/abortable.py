"""Step 07, solution: a way to end a connection that takes nothing any more."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


class Abortable:
    """Middleware that puts `abort` into the state of every WebSocket."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # ASGI has no word for this. In uvicorn, send is a method of the object that holds the transport.
            connection: Any = send
            scope["state"]["abort"] = connection.__self__.transport.abort
        await self.app(scope, receive, send)
