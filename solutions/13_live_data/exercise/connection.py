"""Step 07, solution: access to a connection's transport, which can abort a connection whose client reads nothing."""

from starlette.types import ASGIApp, Receive, Scope, Send


class TransportMiddleware:
    """Store the transport of each WebSocket connection in its state, or None if it can't be accessed.

    ASGI has no message that ends a connection whose client reads nothing. Its transport has `abort()`, and uvicorn's
    `send` gives access to the transport. With another server, or if another middleware has wrapped `send`, such a
    connection stays open until its client ends it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # In uvicorn, send is a method of the object that handles the connection.
            scope["state"]["transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        await self.app(scope, receive, send)
