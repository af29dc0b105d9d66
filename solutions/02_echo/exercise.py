"""Step 02, solution: an echo that speaks JSON."""

from typing import Annotated, Literal

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

app = FastAPI()


class Echo(BaseModel):
    type: Literal["echo"]
    text: str


class Bye(BaseModel):
    type: Literal["bye"]


request_adapter: TypeAdapter[Echo | Bye] = TypeAdapter(Annotated[Echo | Bye, Field(discriminator="type")])


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    count = 0
    try:
        await websocket.send_json({"type": "welcome"})
        while True:
            # receive_text() raises KeyError for a binary message, so receive the event itself.
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                request = request_adapter.validate_json(message.get("text") or "")
            except ValidationError:
                await websocket.send_json({"type": "error", "detail": "expected an echo or a bye, as JSON text"})
                continue
            if isinstance(request, Bye):
                await websocket.close(1000, "bye")
                return
            count += 1
            await websocket.send_json({"type": "echo", "text": request.text, "count": count})
    except WebSocketDisconnect:
        # A send raises this too, if the client has disconnected.
        pass
