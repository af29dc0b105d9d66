"""The rooms, for every endpoint that depends on them."""

from collections import Counter
from contextlib import suppress
from functools import cache
from typing import Annotated

from fastapi import Depends, WebSocket, WebSocketDisconnect


class Rooms:
    def __init__(self) -> None:
        self.members: list[tuple[str, WebSocket]] = []
        self.listeners: list[WebSocket] = []

    def counts(self) -> dict[str, int]:
        return dict(Counter(room_id for room_id, _ in self.members))

    async def tell(self, sockets: list[WebSocket], text: str) -> None:
        for socket in sockets:
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_text(text)


@cache
def the_rooms() -> Rooms:
    return Rooms()


TheRooms = Annotated[Rooms, Depends(the_rooms)]
