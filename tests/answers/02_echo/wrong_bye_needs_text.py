"""One model with a text for all requests: a bye, which has none, is refused.

Refused by: test_bye
Says: the connection still open
"""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError

app = FastAPI()


class Request(BaseModel):
    type: str
    text: str


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"type": "welcome"})
    count = 0
    try:
        while True:
            try:
                request = Request.model_validate_json(await websocket.receive_text())
            except (KeyError, ValidationError):
                await websocket.send_json({"type": "error", "detail": "expected a type and a text"})
                continue
            if request.type == "echo":
                count += 1
                await websocket.send_json({"type": "echo", "text": request.text, "count": count})
            elif request.type == "bye":
                await websocket.close(1000, "bye")
                return
            else:
                await websocket.send_json({"type": "error", "detail": f"unknown type {request.type}"})
    except WebSocketDisconnect:
        pass
