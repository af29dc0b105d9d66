"""The application, put together from its modules."""

from fastapi import Depends, FastAPI

from . import chat, lobby

app = FastAPI()
app.include_router(chat.router, prefix="/api/chat", dependencies=[Depends(chat.member_name)])
app.include_router(lobby.router, prefix="/api/lobby")


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}
