"""Step 09, lesson: what a client may send, and how it is read."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

EXPECTED = "expected a message, or a direct message with a member's name as to, as JSON in a text frame"


class Message(BaseModel):
    type: Literal["message"]
    text: str
    # Empty stands for none; a client may not send an empty one.
    key: Annotated[str, Field(min_length=1, max_length=64)] = ""


class Direct(BaseModel):
    type: Literal["direct"]
    to: str
    text: str


class Pong(BaseModel):
    type: Literal["pong"]


Request = Message | Direct | Pong
reader: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="type")])


def read(event: Mapping[str, Any]) -> Request | None:
    """What a client sent, or None if it cannot be read."""
    try:
        # A binary frame has no text, and an empty text is no JSON.
        return reader.validate_json(event.get("text") or "")
    except ValidationError:
        return None
