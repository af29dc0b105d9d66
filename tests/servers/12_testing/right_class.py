"""A server with a class, in which no name is that of the given server.

Granted: Your tests use a name of the server's module, or run the application without uvicorn. Only its behavior
  over the network is promised: connect to it.
"""

from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect, status

LIMIT = 20


class Hall:
    """The members of all rooms, in the order in which they joined."""

    def __init__(self) -> None:
        self.everyone: dict[str, list[WebSocket]] = {}

    def enter(self, name: str, person: WebSocket) -> None:
        self.everyone.setdefault(name, []).append(person)

    def exit(self, name: str, person: WebSocket) -> None:
        self.everyone[name].remove(person)
        if not self.everyone[name]:
            del self.everyone[name]

    async def deliver(self, name: str, words: str) -> None:
        for person in tuple(self.everyone[name]):
            try:
                await person.send_text(words)
            except (WebSocketDisconnect, RuntimeError):
                continue


hall = Hall()
application = app = FastAPI()


@application.get("/rooms")
def count() -> dict[str, int]:
    return {name: len(people) for name, people in list(hall.everyone.items())}


@application.websocket("/ws/{name}")
async def talk(connection: WebSocket, name: str, place: Annotated[Hall, Depends(lambda: hall)]) -> None:
    await connection.accept()
    if len(name) > LIMIT:
        await connection.close(4404)
        return
    place.enter(name, connection)
    code = None
    try:
        while code is None:
            event = await connection.receive()
            if event["type"] == "websocket.disconnect":
                return
            if event.get("text") is None:
                code = status.WS_1003_UNSUPPORTED_DATA
            else:
                await place.deliver(name, event["text"])
    finally:
        place.exit(name, connection)
    try:
        await connection.close(code)
    except (WebSocketDisconnect, RuntimeError):
        pass
