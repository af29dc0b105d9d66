"""A long name is cut instead of refused.

Refused by: test_long_name
Says: do not cut the name
"""

from enum import StrEnum

from fastapi import FastAPI

app = FastAPI()


class Language(StrEnum):
    en = "en"
    ko = "ko"


@app.get("/")
async def root():
    return {"message": "Hello World"}


@app.get("/hello/{name}")
async def hello(name: str, language: Language = Language.en):
    greeting = {Language.en: "Hello", Language.ko: "안녕하세요"}[language]
    return {"message": f"{greeting}, {name[:40]}!"}
