"""Step 08: what a client may send, and how it's parsed."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

EXPECTED_FORMAT = "expected a message, or a direct message with a member's name as to, as JSON in a text frame"


Key = Annotated[str, Field(min_length=1, max_length=64)]


class Message(BaseModel):
    type: Literal["message"]
    text: str
    # Empty if there's none. A client can't send an empty key.
    key: Key = ""


class DirectMessage(BaseModel):
    type: Literal["direct"]
    to: str
    text: str


class Pong(BaseModel):
    type: Literal["pong"]


class Keyed(BaseModel):
    """The key of a message that parse() rejects."""

    type: Literal["message"]
    key: Key


ClientMessage = Message | DirectMessage | Pong
client_message_adapter: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


def parse(event: Mapping[str, Any]) -> ClientMessage | None:
    """Return the message of a client, or None if it isn't valid."""
    try:
        # A binary message has no text, and an empty one isn't JSON.
        return client_message_adapter.validate_json(event.get("text") or "")
    except ValidationError:
        return None


def key_of(event: Mapping[str, Any]) -> str | None:
    """Return the key of a message that parse() rejects, or None if it has no valid key."""
    try:
        # Not Pydantic alone: it doesn't parse half an emoji, so the key of such a message would be lost.
        return Keyed.model_validate(json.loads(event.get("text") or "")).key
    except (ValueError, RecursionError):
        return None


def error(detail: str, key: str | None, *, retry: bool) -> dict[str, Any]:
    """Return an error. With a key, it states whether the client should send the message again."""
    return {"type": "error", "detail": detail} | ({"key": key, "retry": retry} if key else {})
