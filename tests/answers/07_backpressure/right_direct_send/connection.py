"""The server's own send, and what lies below it."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send


class TransportMiddleware:
    """Put into the state of each WebSocket connection its transport, the server's send, and whether that would suspend.

    uvicorn's `send` leads to both: it suspends only while the event `writable` isn't set. Another server's `send`
    doesn't, nor does one that another middleware has wrapped: `is_writable` then always returns False, so all messages
    are queued.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # Under uvicorn, send is a method of the object that handles the connection.
            protocol = getattr(send, "__self__", None)
            scope["state"]["transport"] = getattr(protocol, "transport", None)
            scope["state"]["send"] = send
            scope["state"]["is_writable"] = getattr(protocol, "writable", asyncio.Event()).is_set
        await self.app(scope, receive, send)
