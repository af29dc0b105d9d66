"""A room of python-socketio."""

import socketio

server = socketio.AsyncServer(async_mode="asgi", ping_interval=3600)
app = socketio.ASGIApp(server)


@server.event
async def connect(member: str, environ: dict[str, object]) -> None:
    """Everybody is in the one room."""
    await server.enter_room(member, "bench")


@server.on("message")
async def message(member: str, text: str) -> None:
    """Pass on what comes."""
    await server.emit("message", text, to="bench")
