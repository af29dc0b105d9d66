"""An empty language falls back to the default.

Refused by: test_language
Says: an empty language is taken for a missing one
"""

from typing import Annotated

from fastapi import FastAPI, HTTPException, Path

app = FastAPI()
GREETINGS = {"en": "Hello", "ko": "안녕하세요"}


@app.get("/")
async def root():
    return {"message": "Hello World"}


@app.get("/hello/{name}")
async def hello(name: Annotated[str, Path(max_length=40)], language: str | None = None):
    language = language or "en"
    if language not in GREETINGS:
        raise HTTPException(422, "unknown language")
    return {"message": f"{GREETINGS[language]}, {name}!"}
