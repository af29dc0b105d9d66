"""Step 08: what was said in one room, as a list."""

from typing import Any

from starlette.types import Message

from .encoding import encode
from .journal import Record


class History:
    def __init__(self) -> None:
        self.first = 1
        self.records: list[Record] = []

    @property
    def last_id(self) -> int:
        return self.first + len(self.records) - 1

    @property
    def ids(self) -> Any:
        return self

    def get(self, who: tuple[str, str]) -> int | None:
        known = (r.id for r in reversed(self.records) if r.key and (r.sender, r.key) == who)
        return next(known, None)

    def frame(self, record: Record) -> Message:
        return encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})

    def add(self, record: Record) -> Message:
        self.records.append(record)
        if len(self.records) > 2000:
            del self.records[:500]
            self.first += 500
        return self.frame(record)

    def since(self, after: int) -> list[Message]:
        last = self.records[-100:]
        gap = last[0].id - after - 1 if last else 0
        frames = [self.frame(record) for record in last if record.id > after]
        return [encode({"type": "gap", "missed": gap}), *frames] if gap > 0 else frames
