"""Parameters declared, and judged by hand."""

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI()
GREETINGS = {"en": "Hello, {}!", "ko": "안녕하세요, {}!"}


class Message(BaseModel):
    message: str


@app.get("/")
async def root() -> Message:
    return Message(message="Hello World")


@app.get("/hello/{name}")
async def hello(name: str, language: str = "en") -> Message:
    if len(name) > 40:
        raise HTTPException(status_code=422, detail="at most 40 characters")
    if (greeting := GREETINGS.get(language)) is None:
        raise HTTPException(status_code=422, detail=f"one of {', '.join(GREETINGS)}")
    return Message(message=greeting.format(name))
