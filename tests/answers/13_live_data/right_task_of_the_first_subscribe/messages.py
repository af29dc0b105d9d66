"""Step 13: requests as dataclasses, checked by hand."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXPECTED_FORMAT = "expected subscribe or unsubscribe with topics, seen with last, or rate with per_second from 1 to 20"


@dataclass
class Subscribe:
    topics: list[str]


@dataclass
class Unsubscribe:
    topics: list[str]


@dataclass
class Seen:
    last: int


@dataclass
class Rate:
    per_second: float


def parse(event: Mapping[str, Any]) -> Subscribe | Unsubscribe | Seen | Rate | None:
    try:
        message = json.loads(event.get("text") or "")
    except (ValueError, RecursionError):
        return None
    match message:
        case {"type": "subscribe" | "unsubscribe" as kind, "topics": list(topics)}:
            if all(isinstance(topic, str) for topic in topics):
                return Subscribe(topics) if kind == "subscribe" else Unsubscribe(topics)
        case {"type": "seen", "last": int(last)} if not isinstance(last, bool):
            return Seen(last)
        case {"type": "rate", "per_second": int(rate) | float(rate)}:
            if not isinstance(rate, bool) and math.isfinite(rate) and 1 <= rate <= 20:
                return Rate(rate)
    return None
