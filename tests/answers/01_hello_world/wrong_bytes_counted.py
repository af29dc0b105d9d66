"""The length is measured in bytes, so that a Korean name of 14 characters is too long.

Refused by: test_long_name
Says: count characters, not bytes
"""

from typing import Literal

from fastapi import FastAPI, HTTPException

app = FastAPI()


@app.get("/")
async def root():
    return {"message": "Hello World"}


@app.get("/hello/{name}")
async def hello(name: str, language: Literal["en", "ko"] = "en"):
    if len(name.encode()) > 40:
        raise HTTPException(422, "name too long")
    return {"message": f"{'Hello' if language == 'en' else '안녕하세요'}, {name}!"}
