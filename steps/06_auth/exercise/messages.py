"""Step 06, exercise, ready for you: what a client may send, and how it's parsed."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

EXPECTED_FORMAT = "expected a message, or a direct message with a member's name as to, as JSON in a text frame"


class Message(BaseModel):
    type: Literal["message"]
    text: str


class DirectMessage(BaseModel):
    type: Literal["direct"]
    to: str
    text: str


ClientMessage = Message | DirectMessage
client_message_adapter: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


def parse(event: Mapping[str, Any]) -> ClientMessage | None:
    """Return the message of a client, or None if it isn't valid."""
    try:
        # A binary message has no text, and an empty one isn't JSON.
        return client_message_adapter.validate_json(event.get("text") or "")
    except ValidationError:
        return None
