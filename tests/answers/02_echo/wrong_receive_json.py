"""`receive_json()` raises for a text that is not JSON, and the error ends the endpoint.

Refused by: test_error
Says: nothing catches the error that json raises
"""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"type": "welcome"})
    count = 0
    try:
        while True:
            try:
                request = await websocket.receive_json()
            except KeyError:
                request = None  # a binary frame
            match request:
                case {"type": "echo", "text": str(text)}:
                    count += 1
                    await websocket.send_json({"type": "echo", "text": text, "count": count})
                case {"type": "bye"}:
                    await websocket.close(1000, "bye")
                    return
                case _:
                    await websocket.send_json({"type": "error", "detail": "neither an echo nor a bye"})
    except WebSocketDisconnect:
        pass
