"""The application, put together from its modules."""

from fastapi import FastAPI

from . import chat, lobby
from .rooms import rooms

app = FastAPI()
app.include_router(chat.router)
app.include_router(lobby.router)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}
