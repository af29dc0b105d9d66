"""Step 10: encode a message as an ASGI event."""

import json
from typing import Any

from starlette.types import Message as ASGIEvent


def encode(message: dict[str, Any]) -> ASGIEvent:
    """Return the ASGI event of a message. Encode it once, and send it to all tabs."""
    return text_event(json.dumps(message, separators=(",", ":"), ensure_ascii=False))


def text_event(text: str) -> ASGIEvent:
    """Return the ASGI event of a text message."""
    return {"type": "websocket.send", "text": text}
