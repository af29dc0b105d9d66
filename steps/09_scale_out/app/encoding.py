"""Step 09, lesson: a message as it goes to the server."""

import json
from typing import Any

from starlette.types import Message


def encode(message: dict[str, Any]) -> Message:
    """The ASGI event of a message, the same one for everybody."""
    return {"type": "websocket.send", "text": json.dumps(message, separators=(",", ":"), ensure_ascii=False)}
