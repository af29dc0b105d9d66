"""Which transport a connection has, by the scope of the connection."""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


class Transports:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            owner: Any = getattr(receive, "__self__", None)
            scope["extensions"]["transport"] = {"transport": owner.transport}
        await self.app(scope, receive, send)
