"""Step 01, solution: a greeting that knows your name and your language."""

from typing import Annotated, Literal

from fastapi import FastAPI, Path

app = FastAPI()

GREETINGS = {"en": "Hello", "ko": "안녕하세요"}


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.get("/hello/{name}")
async def hello(
    name: Annotated[str, Path(max_length=40)],
    language: Literal["en", "ko"] = "en",
) -> dict[str, str]:
    return {"message": f"{GREETINGS[language]}, {name}!"}
