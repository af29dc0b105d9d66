"""Step 09, exercise: a message as it goes to the server."""

import json
from typing import Any

from starlette.types import Message


def encode(message: dict[str, Any]) -> Message:
    """The ASGI event of a message, the same one for everybody."""
    return text_frame(json.dumps(message, separators=(",", ":"), ensure_ascii=False))


def text_frame(text: str) -> Message:
    """The ASGI event of a text."""
    return {"type": "websocket.send", "text": text}
