"""The application, put together from its modules."""

from fastapi import FastAPI

from . import chat, lobby

app = FastAPI()
app.include_router(chat)
app.include_router(lobby.router)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}
