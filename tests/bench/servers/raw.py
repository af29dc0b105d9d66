"""The reference: the broadcast of the websockets library, without a framework."""

import asyncio
import os

from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def chat(member: ServerConnection) -> None:
    """Broadcast the received messages."""
    members.add(member)
    try:
        async for text in member:
            broadcast(members, text)
    finally:
        members.discard(member)


async def main() -> None:
    """Serve until the process ends."""
    compression = "deflate" if os.environ.get("DEFLATE") else None
    async with serve(chat, "127.0.0.1", 0, compression=compression, ping_interval=None) as server:
        # Print uvicorn's line, so both logs can be read in the same way.
        print(f"Uvicorn running on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        print("Application startup complete", flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
