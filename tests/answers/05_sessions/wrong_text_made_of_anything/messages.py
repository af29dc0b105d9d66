"""Step 05: what a client may send, and how it is read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXPECTED = "expected a message or a direct message"


@dataclass
class Message:
    text: str


@dataclass
class Direct:
    to: str
    text: str


def read(event: Mapping[str, Any]) -> Message | Direct | None:
    try:
        data = json.loads(event.get("text") or "")
        match data["type"]:
            case "message":
                return Message(str(data["text"]))
            case "direct":
                return Direct(str(data["to"]), str(data["text"]))
    except (ValueError, KeyError, TypeError):
        pass
    return None
