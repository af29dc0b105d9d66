"""The models forbid further keys in a request, and those are to be ignored.

Refused by: test_echo
Says: a request with further keys is refused
"""

from typing import Annotated, Literal

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

app = FastAPI()


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Echo(Request):
    type: Literal["echo"]
    text: str


class Bye(Request):
    type: Literal["bye"]


requests: TypeAdapter[Echo | Bye] = TypeAdapter(Annotated[Echo | Bye, Field(discriminator="type")])


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    count = 0
    try:
        await websocket.send_json({"type": "welcome"})
        while True:
            try:
                request = requests.validate_json(await websocket.receive_text())
            except (KeyError, ValidationError):
                await websocket.send_json({"type": "error", "detail": "expected an echo or a bye"})
                continue
            if isinstance(request, Bye):
                await websocket.close(1000, "bye")
                return
            count += 1
            await websocket.send_json({"type": "echo", "text": request.text, "count": count})
    except WebSocketDisconnect:
        pass
