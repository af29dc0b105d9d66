"""All sends at once, with `asyncio.gather(return_exceptions=True)`, and a close by `WebSocketException`."""

import asyncio
from collections import defaultdict

from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException, status

app = FastAPI()
rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


@app.get("/rooms")
def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.copy().items() if members}


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    members = rooms[room_id]
    members.add(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await asyncio.gather(*(member.send_text(text) for member in members), return_exceptions=True)
    except (WebSocketDisconnect, RuntimeError):
        pass  # RuntimeError: a send to this very socket has failed already, and it cannot be read any more
    except KeyError:
        members.discard(websocket)
        raise WebSocketException(status.WS_1003_UNSUPPORTED_DATA) from None
    finally:
        members.discard(websocket)
