"""Step 08: encode a message as an ASGI event."""

import json
from typing import Any

from starlette.types import Message as ASGIEvent


def encode(message: dict[str, Any]) -> ASGIEvent:
    """Return the ASGI event of a message. Encode it once, and send it to all tabs."""
    return {"type": "websocket.send", "text": json.dumps(message, separators=(",", ":"), ensure_ascii=False)}
