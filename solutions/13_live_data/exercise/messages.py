"""Step 13: what a viewer may send, and how it's parsed."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

EXPECTED_FORMAT = "expected subscribe or unsubscribe with topics, seen with last, or rate with per_second from 1 to 20"


class ViewerMessage(BaseModel):
    # Strict: without it, Pydantic accepts "5" and true as numbers.
    model_config = ConfigDict(strict=True)


class Subscribe(ViewerMessage):
    type: Literal["subscribe"]
    topics: list[str]


class Unsubscribe(ViewerMessage):
    type: Literal["unsubscribe"]
    topics: list[str]


class Seen(ViewerMessage):
    type: Literal["seen"]
    last: int


class Rate(ViewerMessage):
    type: Literal["rate"]
    per_second: Annotated[float, Field(ge=1, le=20)]


ClientMessage = Subscribe | Unsubscribe | Seen | Rate
client_message_adapter: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


def parse(event: Mapping[str, Any]) -> ClientMessage | None:
    """Return the message of a viewer, or None if it isn't valid."""
    try:
        # A binary message has no text, and an empty one isn't JSON.
        return client_message_adapter.validate_json(event.get("text") or "")
    except ValidationError:
        return None
