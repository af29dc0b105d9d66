"""The route on an APIRouter, the length in the path's own type."""

from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI
from pydantic import StringConstraints

Name = Annotated[str, StringConstraints(max_length=40)]
router = APIRouter()


@router.get("/hello/{name}")
async def hello(name: Name, language: Literal["en", "ko"] = "en") -> dict[str, str]:
    match language:
        case "ko":
            return {"message": f"안녕하세요, {name}!"}
        case _:
            return {"message": f"Hello, {name}!"}


app = FastAPI()
app.include_router(router)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}
