"""An Enum for the languages, the greeting as its value's text, and a plain function."""

from enum import Enum
from typing import Annotated

from fastapi import FastAPI, Path

app = FastAPI(title="Greetings")


class Language(Enum):
    en = "en"
    ko = "ko"

    def greet(self, name: str) -> str:
        return f"안녕하세요, {name}!" if self is Language.ko else f"Hello, {name}!"


@app.get("/")
def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.get("/hello/{name}")
def hello(name: Annotated[str, Path(max_length=40)], language: Language = Language.en) -> dict[str, str]:
    return {"message": language.greet(name)}
