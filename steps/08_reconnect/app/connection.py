"""Step 08, lesson: the way to the transport of a connection, which can end it when its client reads nothing."""

from starlette.types import ASGIApp, Receive, Scope, Send


class TransportMiddleware:
    """Put the transport of each WebSocket connection into its state, or None where there's no way to it.

    ASGI has no way to end a connection whose client reads nothing. The transport below it has `abort()`, and uvicorn's
    `send` leads to the transport. Another server's doesn't, nor does one that another middleware has wrapped: such a
    connection then stays until its client ends it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # Under uvicorn, send is a method of the object that handles the connection.
            scope["state"]["transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await self.app(scope, receive, send)
