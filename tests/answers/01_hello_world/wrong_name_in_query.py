"""The path has no place for the name, so it is expected in the query.

Refused by: test_name
Says: no route takes this path
"""

from typing import Annotated, Literal

from fastapi import FastAPI, Query

app = FastAPI()


@app.get("/")
async def root():
    return {"message": "Hello World"}


@app.get("/hello")
async def hello(name: Annotated[str, Query(max_length=40)], language: Literal["en", "ko"] = "en"):
    return {"message": f"{'Hello' if language == 'en' else '안녕하세요'}, {name}!"}
