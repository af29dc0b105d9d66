"""One error for whatever is wrong with a request, raised in one place and answered in another."""

from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, WebSocket, WebSocketException
from pydantic import BaseModel, ConfigDict, StrictStr, TypeAdapter
from starlette.websockets import WebSocketState

app = FastAPI()


class Echo(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal["echo"]
    text: StrictStr


class Bye(BaseModel):
    type: Literal["bye"]


ANY = TypeAdapter(Echo | Bye)


class Session:
    """One connection: a fresh one for each, because FastAPI calls the dependency for each."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.count = 0

    async def answer(self, text: str) -> dict[str, Any]:
        request = ANY.validate_json(text)
        if isinstance(request, Bye):
            raise WebSocketException(1000, "bye")
        self.count += 1
        return {"type": "echo", "text": request.text, "count": self.count}


@app.websocket("/ws")
async def echo(session: Annotated[Session, Depends()]) -> None:
    websocket = session.websocket
    await websocket.accept()
    reply: dict[str, Any] = {"type": "welcome"}
    while True:
        try:
            await websocket.send_json(reply)
        except Exception:
            return  # the client is gone
        try:
            reply = await session.answer(await websocket.receive_text())
        except WebSocketException:
            raise  # FastAPI closes the socket with its code and reason
        except Exception as error:
            if websocket.client_state is WebSocketState.DISCONNECTED:
                return
            reply = {"type": "error", "detail": repr(error)}
