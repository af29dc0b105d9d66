"""The transport of each connection, among the extensions in its scope."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Transports:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            owner = getattr(receive, "__self__", None)
            scope["extensions"]["transport"] = {"transport": getattr(owner, "transport", None)}
        await self.app(scope, receive, send)
