"""The server's own send, and the way to the transport of a connection."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send


class TransportMiddleware:
    """Put into the state of each WebSocket connection its transport, the server's send, and a way to ask if that waits.

    uvicorn's `send` leads to both: it waits for one thing only, the event `writable`, which isn't set while the
    transport is above its high-water mark. Another server's `send` doesn't, nor does one that another middleware has
    wrapped: there's no transport then, and `is_writable` always returns False.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # In uvicorn, send is a method of the object that handles the connection.
            protocol = getattr(send, "__self__", None)
            scope["state"]["transport"] = getattr(protocol, "transport", None)
            scope["state"]["send"] = send
            scope["state"]["is_writable"] = getattr(protocol, "writable", asyncio.Event()).is_set
        await self.app(scope, receive, send)
