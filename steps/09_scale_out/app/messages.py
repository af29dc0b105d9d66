"""Step 09, lesson: what a client may send, and how it is read."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

EXPECTED = "expected a message, or a direct message with a member's name as to, as JSON in a text frame"


Key = Annotated[str, Field(min_length=1, max_length=64)]


class Message(BaseModel):
    type: Literal["message"]
    text: str
    # Empty stands for none; a client may not send an empty one.
    key: Key = ""


class Direct(BaseModel):
    type: Literal["direct"]
    to: str
    text: str


class Pong(BaseModel):
    type: Literal["pong"]


class Keyed(BaseModel):
    """What is valid of a message that read() doesn't accept."""

    type: Literal["message"]
    key: Key


Request = Message | Direct | Pong
reader: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="type")])


def read(event: Mapping[str, Any]) -> Request | None:
    """What a client sent, or None if it cannot be read."""
    try:
        # A binary frame has no text, and an empty text is no JSON.
        return reader.validate_json(event.get("text") or "")
    except ValidationError:
        return None


def key_of(event: Mapping[str, Any]) -> str | None:
    """Return the key of a message that read() doesn't accept, or None if it has no valid one."""
    try:
        # Not with Pydantic alone: it doesn't parse half an emoji, so the key next to that would be lost.
        return Keyed.model_validate(json.loads(event.get("text") or "")).key
    except (ValueError, RecursionError):
        return None


def error(detail: str, key: str | None, *, retry: bool) -> dict[str, Any]:
    """Return the answer to a message that isn't accepted. With a key, it states whether to send the message again."""
    return {"type": "error", "detail": detail} | ({"key": key, "retry": retry} if key else {})
