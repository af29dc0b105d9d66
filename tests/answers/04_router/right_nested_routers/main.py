"""The application, put together from its modules."""

from fastapi import APIRouter, FastAPI

from . import chat, lobby

app = FastAPI()
api = APIRouter(prefix="/api")
for module in (chat, lobby):
    api.include_router(module.router)
app.include_router(api)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}
