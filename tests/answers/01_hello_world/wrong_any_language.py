"""Every language that is not Korean is taken for English.

Refused by: test_language
Says: any text is taken for a language
"""

from typing import Annotated

from fastapi import FastAPI, Path

app = FastAPI()


@app.get("/")
async def root():
    return {"message": "Hello World"}


@app.get("/hello/{name}")
async def hello(name: Annotated[str, Path(max_length=40)], language: str = "en"):
    greeting = "안녕하세요" if language == "ko" else "Hello"
    return {"message": f"{greeting}, {name}!"}
