"""The language is read from the request by hand, so the description does not know of it.

Refused by: test_description
Says: declare both as parameters of the function
"""

from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Request

app = FastAPI()
GREETINGS = {"en": "Hello", "ko": "안녕하세요"}


@app.get("/")
async def root():
    return {"message": "Hello World"}


@app.get("/hello/{name}")
async def hello(name: Annotated[str, Path(max_length=40)], request: Request):
    language = request.query_params.get("language", "en")
    if language not in GREETINGS:
        raise HTTPException(422, "unknown language")
    return {"message": f"{GREETINGS[language]}, {name}!"}
