"""A room of python-socketio."""

import socketio

server = socketio.AsyncServer(async_mode="asgi", ping_interval=3600)
app = socketio.ASGIApp(server)


@server.event
async def connect(member: str, environ: dict[str, object]) -> None:
    """Add a member to the only room."""
    await server.enter_room(member, "bench")


@server.on("message")
async def message(member: str, text: str) -> None:
    """Broadcast a received message."""
    await server.emit("message", text, to="bench")
